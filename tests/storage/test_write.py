"""Atomic writes: modes, links, failures."""

import os
import stat
from pathlib import Path

import pytest

from visiongarden.storage import atomic_folder, atomic_path, atomic_write


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _by_path(path: Path, text: str) -> None:
    with atomic_path(path) as draft:
        draft.write_text(text)


@pytest.mark.parametrize("write", [atomic_write, _by_path])
def test_file_modes_follow_the_umask(tmp_path, umask, write):
    write(tmp_path / "new" / "x.txt", "hello")
    assert (tmp_path / "new" / "x.txt").read_text() == "hello"
    assert _mode(tmp_path / "new" / "x.txt") == 0o666 & ~umask
    assert _names(tmp_path / "new") == ["x.txt"]


def test_folder_modes_follow_the_umask(tmp_path, umask):
    with atomic_folder(tmp_path / "set") as draft:
        (draft / "a").write_text("a")
    assert _mode(tmp_path / "set") == 0o777 & ~umask
    assert _names(tmp_path) == ["set"]


@pytest.mark.parametrize("write", [atomic_write, _by_path])
def test_a_link_at_the_target_is_replaced_and_not_followed(tmp_path, write):
    victim, target = tmp_path / "victim", tmp_path / "x.txt"
    victim.write_text("precious")
    target.symlink_to(victim)
    write(target, "new")
    assert victim.read_text() == "precious"
    assert target.read_text() == "new"
    assert not target.is_symlink()


def test_drafts_have_other_names_each_time(tmp_path, monkeypatch):
    seen = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda p, f, *a, **k: seen.append((p, f)) or real(p, f, *a, **k)
    )
    for _ in range(2):
        atomic_write(tmp_path / "x.txt", b"x", durable=False)
    names = [Path(path).name for path, flags in seen if flags & os.O_CREAT]
    assert len(set(names)) == 2
    assert all(flags & os.O_EXCL for _, flags in seen if flags & os.O_CREAT)


def _fails(stream: object) -> None:
    raise RuntimeError("disk")


def test_nothing_remains_after_a_failure(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(RuntimeError):
        atomic_write(tmp_path / "x.txt", _fails)
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.txt") as draft:
        _fails(draft.write_text("half"))
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "set") as folder:
        _fails((folder / "a").write_text("half"))
    assert _names(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_without_overwrite_an_existing_file_is_kept(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(FileExistsError):
        atomic_write(tmp_path / "x.txt", "new", overwrite=False)
    assert (tmp_path / "x.txt").read_text() == "old"
    atomic_write(tmp_path / "y.txt", "new", overwrite=False)
    assert _names(tmp_path) == ["x.txt", "y.txt"]


@pytest.mark.parametrize("kind", ["file", "link", "full"])
def test_an_atomic_folder_never_replaces_its_target(tmp_path, kind):
    target = tmp_path / "set"
    if kind == "file":
        target.write_text("old")
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        (target / "own").mkdir(parents=True)
    with pytest.raises(OSError, match=r"set|not empty"), atomic_folder(target) as draft:
        (draft / "a").write_text("a")
    assert _names(tmp_path) == ["set"]


def test_names_of_255_bytes_are_written(tmp_path):
    name = "x" * 251 + ".txt"
    atomic_write(tmp_path / name, "hello")
    _by_path(tmp_path / name, "again")
    assert _names(tmp_path) == [name]
