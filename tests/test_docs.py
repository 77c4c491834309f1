"""The pages: their files are written, their commands run, in order."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.doctor.test_doctor_kinds import folders, masks, packed

from visiongarden.cli.main import main
from visiongarden.scenes import make_scenes

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    return re.findall(r"```(\w*)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


# The page trains for real; here one pass over a few small scenes is enough.
SMALL = ["training.epochs=1", "training.batch_size=4", "model.image_size=64"]
QUICK = ["--backends", "tensorflow"]


def run(folder, words):
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def command(line):
    words = shlex.split(line)
    if "--backends" in words:
        at = words.index("--backends")
        del words[at : at + 2]
    more = {"train": SMALL, "check": QUICK}.get(words[1], [])
    return ["-m", *words, *more]


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "__init__.py").touch()
    make_scenes(tmp_path / "my_images", 12, (64, 64))
    ran = []
    for kind, text in blocks("customize.md"):
        named = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if named:
            (tmp_path / named[1]).write_text(text)
        elif kind == "python":
            run(tmp_path, ["-c", text])
        elif kind == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("visiongarden"):
                    ran.append(line.split()[1])
                    run(tmp_path, command(line))
    assert ran == ["lint", "check", "check", "check", "verify", "show", "diff", "train", "transfer"]


def test_the_page_about_data_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_scenes(tmp_path / "my_images", 6, (64, 64))
    packed(folders(tmp_path / "my_folders"), tmp_path / "my_folders.zip")
    masks(tmp_path / "my_masks")
    lines = [line for kind, text in blocks("data.md") if kind == "sh" for line in text.splitlines()]
    assert len(lines) == 8
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            main(line.split()[1:])
        assert ended.value.code == 0, line
    assert {"my_folders_fixed", "my_yolo", "my_copy", "report.html", "masks.png"} <= {
        item.name for item in tmp_path.iterdir()
    }
