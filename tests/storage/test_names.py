"""Names from files that become paths."""

from pathlib import Path

import pytest

from visiongarden.errors import DataError
from visiongarden.storage import name_of, path_inside, safe_name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/etc/passwd", "a/b", "a\\b", "..\\x", "C:", "c:x.png", "a\0b", "a\nb",
        "\x1b[31m", "\x9b", "con", "NUL.txt", "Com1.tar.gz", "lpt\u00b9.png", "aux .png",
        "x.", "x ", "\ud800", "x" * 256, "\u00e4" * 128,
    ],
)  # fmt: skip
def test_unsafe_names_are_refused(name):
    with pytest.raises(DataError, match=r"^set\.csv:3: split is not a valid file name"):
        safe_name(name, "set.csv:3: split")


@pytest.mark.parametrize("name", [None, 3, ["a"]])
def test_names_that_are_not_text_are_refused(name):
    with pytest.raises(DataError, match="not text"):
        safe_name(name)


@pytest.mark.parametrize(
    "name",
    ["a", "..a", "a..b", "train 2", "console.png", "com10", "Hund (groß).png", "猫", "x" * 255],
)
def test_ordinary_names_are_kept(name):
    assert safe_name(name) == name


def test_path_inside_joins(tmp_path):
    assert path_inside(tmp_path, "a", "b.png") == tmp_path / "a" / "b.png"


def test_path_inside_follows_no_link_out_of_the_folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DataError, match="is located outside"):
        path_inside(tmp_path / "set", "images", "a.png")


def test_path_inside_accepts_a_folder_that_is_a_link_itself(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert path_inside(Path(tmp_path / "link"), "x", "a.png").parent.name == "x"


@pytest.mark.parametrize(
    ("path", "name"),
    [("link", "link"), ("link/sub/..", "link"), (".", "here"), ("data.zip", "data")],
)
def test_the_name_of_a_path_is_that_of_the_link(tmp_path, monkeypatch, path, name):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "here")
    assert name_of(path) == name
    assert name_of(Path(path)) == name
