"""The page "Customize models": its files are written, its commands run, in order."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from visiongarden.data import make_scenes

TEXT = (Path(__file__).parents[1] / "docs" / "customize.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
# The page trains for real; here one pass over a few small scenes is enough.
SMALL = ["training.epochs=1", "training.batch_size=4", "model.image_size=64"]
QUICK = ["--backend", "tensorflow"]


def run(folder, words):
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def command(line):
    words = line.split()
    more = {"train": SMALL, "check": QUICK}.get(words[1], [])
    return ["-m", *words, *more]


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "__init__.py").touch()
    make_scenes(tmp_path / "my_images", 12, (64, 64))
    ran = []
    for kind, text in BLOCKS:
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
    assert ran == ["lint", "check", "check", "verify", "show", "diff", "train", "transfer"]
