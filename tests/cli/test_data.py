"""`visiongarden data …`: options, output, exit codes and files."""

import json
import subprocess
import sys

import cv2
import pytest
from tests.doctor.test_doctor_kinds import folders, masks

from visiongarden.cli.entry import main
from visiongarden.data import read
from visiongarden.scenes import make_scenes


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return ended.value.code


@pytest.fixture
def scenes(tmp_path):
    return make_scenes(tmp_path / "scenes", 12, (48, 64))


def test_check(scenes, tmp_path, capsys):
    assert run("data", "check", scenes, "--output", tmp_path / "page.html") == 0
    assert "train: 10 images" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "page.json").read_text())["error"] == 0


def test_check_refuses_and_fixes(scenes, tmp_path, capsys):
    file = scenes / "train.json"
    rows = json.loads(file.read_text())
    rows["annotations"][0]["bbox"][2] = 0
    file.write_text(json.dumps(rows))
    page = ("--output", tmp_path / "page.html")
    assert run("data", "check", scenes, *page) == 1
    assert "annotations[0]" in capsys.readouterr().err
    assert (tmp_path / "page.html").exists()
    assert run("data", "check", scenes, *page, "--fix", tmp_path / "fixed") == 0
    assert run("data", "check", tmp_path / "fixed", *page) == 0
    assert len((tmp_path / "fixed" / "changes.txt").read_text().splitlines()) == 1


def test_convert(scenes, tmp_path, capsys):
    assert run("data", "convert", scenes, tmp_path / "there", "--format", "yolo") == 0
    assert len(read(tmp_path / "there", reader="YOLO")) == 10
    assert run("data", "convert", scenes, tmp_path / "there", "--format", "voc") == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--plain",), 0),
        (("transforms=[Mosaic]", "transforms.Mosaic.grid=3"), 0),
        (("transforms.Mosiac.probability=0",), 2),
        (("transforms.HSV.hue=7",), 2),
        (("mosaic=0",), 2),
        (("training.epochs=3",), 2),
        (("--plain", "transforms.HSV.hue=0"), 2),
        (("--output", "sheet.gif"), 2),
    ],
)
def test_show(scenes, tmp_path, monkeypatch, options, code):
    monkeypatch.chdir(tmp_path)
    sizes = ("--image-size", 64, "--count", 5, "--columns", 3)
    assert run("data", "show", scenes, *sizes, *options) == code
    if code == 0:
        sheet = cv2.imread(str(tmp_path / "sheet.png"))
        assert sheet.shape == (2 * 70 + 6, 3 * 70 + 6, 3)
        assert sheet.std() > 10
    assert {p.name for p in tmp_path.iterdir()} <= {"scenes", "sheet.png"}


@pytest.mark.parametrize(
    ("make", "field"),
    [(folders, "RandomResizedCrop.probability=0.9"), (masks, "Affine.degrees=20")],
    ids=["folders", "masks"],
)
def test_class_folders_and_masks(tmp_path, monkeypatch, capsys, make, field):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "set")
    sizes = ("--image-size", 64, "--count", 5, "--columns", 3)
    for options in ((), ("--plain",), (f"transforms.{field}",)):
        assert run("data", "show", "set", *sizes, *options) == 0
        sheet = cv2.imread(str(tmp_path / "sheet.png"))
        assert sheet.shape == (2 * 70 + 6, 3 * 70 + 6, 3)
    assert run("data", "show", "set", *sizes, "transforms.Mosaic.grid=3") == 2
    assert "no element 'Mosaic'" in capsys.readouterr().err
    assert run("data", "check", "set") == 0
    broken = next((tmp_path / "set").rglob("train/**/*0.png"))
    broken.write_bytes(broken.read_bytes()[:40])
    assert run("data", "check", "set") == 1
    assert run("data", "check", "set", "--fix", "fixed") == 0
    assert run("data", "check", "fixed") == 0
    assert run("data", "convert", "fixed", "there", "--format", make.__name__) == 0
    assert run("data", "convert", "fixed", "yolo", "--format", "yolo") == 2
    error = capsys.readouterr().err
    assert "which can be written as" in error
    assert make.__name__ in error.partition("which can be written as")[2]
    assert not (tmp_path / "yolo").exists()


def test_help_imports_no_backend():
    code = (
        "import sys\nfrom visiongarden.cli import main\n"
        "try:\n    main(['data', 'check', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'keras', 'cv2', 'grain', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
