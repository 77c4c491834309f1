"""Errors of missing files name the file that was probably meant."""

import pytest

from visiongarden.errors import ModelFileError, UserError
from visiongarden.storage import check_file, similar

ENDINGS = (".keras",)


def fix(path):
    with pytest.raises(ModelFileError) as error:
        check_file(path, "model file", ENDINGS, ModelFileError)
    return error.value.what, error.value.fix


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("best.keras", "last.KERAS", "notes.txt"):
        (folder / name).touch()
    return folder


def test_a_file_is_accepted(folder):
    check_file(folder / "notes.txt", "model file", ENDINGS)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("run/bset.keras", "run/best.keras"),
        ("run/last.keras", "run/last.KERAS"),
        ("rnu/best.keras", "run/best.keras"),  # a folder is misspelled
        ("run/note.txt", None),  # notes.txt is no model
        ("runs/run/best.keras", None),
        ("x" * 300, None),
        ("null\0", None),
        ("run/notes.txt/best.keras", None),
    ],
)
def test_similar_paths(folder, name, meant):
    what, found = fix(folder.parent / name)
    assert what.startswith("there is no model file")
    assert found == (f"did you mean {folder.parent / meant}?" if meant else "check the path")


def test_the_files_in_a_folder_that_was_given_instead(folder):
    what, found = fix(folder)
    assert what == f"{folder} is a folder"
    assert found == f"{folder / 'best.keras'} or {folder / 'last.KERAS'}"
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no such file in the folder") as error:
        check_file(folder / "empty", "model file", ENDINGS)
    assert error.value.fix is None


def test_similar_names_of_any_kind(folder):
    assert similar(folder / "nots.txt") == f"did you mean {folder / 'notes.txt'}?"
    assert similar(folder.parent / "rnu") == f"did you mean {folder}?"
