"""Code of the README and of docs/parts.md: the block, the decoder, the model, the error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from visiongarden import backbones, connect, decoders, heads
from visiongarden.errors import ContractError
from visiongarden.linting import lint
from visiongarden.scenes import make_scenes

ROOT = Path(__file__).parents[1]
README, PARTS, CHECK = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/parts.md", "docs/check.md")
)


def block(page, word):
    found = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if word in b]
    assert found, f"the page has no block with {word!r}"
    return found[0]


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "my_project").mkdir()
    (folder / "my_project" / "__init__.py").touch()
    (folder / "my_project" / "blocks.py").write_text(block(README, "class GatedUnit"))
    (folder / "my_project" / "necks.py").write_text(block(PARTS, "class SumNeck"))
    make_scenes(folder / "my_images", 12, (64, 64))
    return folder


@pytest.mark.slow
def test_custom_parts_build_save_and_reopen(project):
    code = block(PARTS, "keras.Input((None, None, 64))")
    code += "assert GatedUnit(64).compute_output_shape((None, 40, 40, 64)) == (None, 40, 40, 64)\n"
    code += block(PARTS, "SumNeck(channels=96).spec") + "\nmodel.save('own.keras')\n"
    done = run(project, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "p3: 96 ch /8, p4: 96 ch /16, p5: 96 ch /32" in done.stdout
    done = run(project, "-c", "import visiongarden as vg\nvg.load('own.keras')")
    assert "import my_project.necks" in done.stderr
    done = run(
        project, "-c", "import my_project.necks\nimport visiongarden as vg\nvg.load('own.keras')"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_code_of_the_pages_passes_every_check(project):
    for name in ("blocks", "necks"):
        assert lint(project / "my_project" / f"{name}.py").ok
        done = run(
            project, "-m", "visiongarden", "check", f"my_project.{name}", "--backends", "none"
        )
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.slow
def test_the_tests_of_the_page_about_checks_pass(project):
    (project / "test_blocks.py").write_text(block(CHECK, "assert_valid(GatedUnit"))
    done = run(project, "-m", "pytest", "-p", "visiongarden.testing.plugin", "test_blocks.py")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.slow
def test_custom_parts_are_trained_from_the_command_line(project):
    small = ["model.image_size=64", "model.backbone.width=0.0625", "training.epochs=1"]
    command = re.search(r"visiongarden (train my_images --import.*?)```", PARTS, re.DOTALL)[1]
    words = command.replace("\\\n", " ").split()
    done = run(project, "-m", "visiongarden", *words, "training.batch_size=4", *small)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "SumNeck(channels=96)" in done.stderr
    best = project / "runs" / "my_images" / "best.keras"
    done = run(project, "-m", "visiongarden", "show", str(best))
    assert done.returncode == 2
    assert "fix: import my_project.necks  # on the command line: --import" in done.stderr
    done = run(project, "-m", "visiongarden", "show", str(best), "--import", "my_project.necks")
    assert done.returncode == 0
    assert "GatedUnit" in done.stdout


def test_the_error_is_the_one_that_is_shown():
    levels = ("p2", "p3", "p4")
    with pytest.raises(ContractError) as error:
        connect(
            backbones.ResNet(depth=50, levels=levels),
            decoders.PathAggregation(),
            heads.AnchorFree(num_classes=3),
        )
    assert str(error.value) in README
    assert str(error.value) in PARTS


def test_the_model_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(block(README, 'again = vg.load("cells.keras")'), {})  # noqa: S102  text of this repository
    assert (tmp_path / "cells.keras").is_file()
