"""`new`: created code passes linters and tests and works in models, and no file is overwritten."""

from __future__ import annotations

import functools
import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import visiongarden as vg
from visiongarden import linting, recipes, registry
from visiongarden.config.yaml import load_scalar
from visiongarden.errors import UserError
from visiongarden.kinds import KINDS
from visiongarden.scaffold import CREATED, new
from visiongarden.scaffold.fields import of_typed
from visiongarden.testing import check_component
from visiongarden.types import HeadContext

ROOT = Path(__file__).parents[2]
PARTS = ("backbone", "decoder", "head")
AS_LAYERS = ("layer", "block", *PARTS)
OTHERS = tuple(kind for kind in KINDS if kind not in AS_LAYERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One of everything, in a plain folder and in a project's package."""
    folder = tmp_path_factory.mktemp("scaffold")
    for kind in KINDS:
        new(kind, f"fresh_{kind}", folder / "plain")
    new("head", "fresh_mask_head", folder / "plain", task="instance_segmentation")
    new("rules", "fresh_rules", folder / "plain")
    new("project", "FreshCells", folder)
    new("rules", "AddedRules", folder / "fresh_cells/src/fresh_cells")
    for kind in KINDS:
        new(kind, f"Added{kind.title()}", folder / "fresh_cells/src/fresh_cells")
    return folder


def test_files_and_commands(tmp_path):
    made = new("decoder", "SumNeck", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in made.files] == [
        "sum_neck.py",
        "test_sum_neck.py",
        "sum_neck.yaml",
    ]
    assert made.commands[1] == "visiongarden check sum_neck"
    made = new("block", "sum_unit", tmp_path)
    assert [path.name for path in made.files] == ["sum_unit.py", "test_sum_unit.py"]
    assert "class SumUnit(vg.layers.Composite)" in made.files[0].read_text("utf-8")


def test_the_test_for_a_package_is_written_to_the_projects_tests(folder):
    test = folder / "fresh_cells/tests/test_added_block.py"
    assert "from fresh_cells.added_block import AddedBlock" in test.read_text("utf-8")


def test_rules(tmp_path, monkeypatch):
    """The file is valid, its test passes, and the recipe's line is a field of a recipe."""
    made = new("rules", "OldCode", tmp_path)
    assert [path.name for path in made.files] == ["old_code.yaml", "test_old_code.py"]
    rules = vg.weights.read_rules(made.files[0])
    assert rules.name == "old_code"
    assert rules.renamed("body.layer2.0.down.b.bias") == "backbone/stage3/unit1/shortcut/norm.bias"
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("test_old_code").test_all_weights_are_copied()
    *_, transfer, train = map(shlex.split, made.commands)
    assert transfer[-2:] == ["--rules", made.files[0].as_posix()]
    field, _, value = train[-1].partition("=")
    assert field == "model.weights"
    assert load_scalar(value, field)["rules"] == made.files[0].as_posix()
    with pytest.raises(UserError, match="already exists"):
        new("rules", "OldCode", tmp_path)


def test_the_test_of_rules_in_a_package(folder):
    test = folder / "fresh_cells/tests/test_added_rules.py"
    assert 'files("fresh_cells") / "added_rules.yaml"' in test.read_text("utf-8")
    assert (folder / "fresh_cells/src/fresh_cells/added_rules.yaml").is_file()


@pytest.mark.parametrize("config", ["visiongarden", "default"])
def test_lint(folder, config):
    """Run ruff in the folder itself, as a user does."""
    ruff = str(Path(sys.executable).parent / "ruff")
    options = (
        ["--config", str(ROOT / "pyproject.toml")] if config == "visiongarden" else ["--isolated"]
    )
    length = ["--line-length", "100"] if config == "default" else []
    for command in (["check", *options], ["format", "--check", *options, *length]):
        for place in ("plain", "fresh_cells"):
            found = subprocess.run(
                [ruff, *command, "--no-cache", "."],
                cwd=folder / place,
                capture_output=True,
                text=True,
                check=False,
            )
            assert found.returncode == 0, found.stdout


@pytest.mark.slow
def test_types(folder):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(folder / "cache"), "src/fresh_cells"]
    found = subprocess.run(
        command, cwd=folder / "fresh_cells", capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def imported(name, monkeypatch, folder):
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(name)


@pytest.mark.slow
def test_parts_and_recipes_build_models(folder, monkeypatch):
    for kind in PARTS:
        imported(f"fresh_{kind}", monkeypatch, folder / "plain")
        recipe = recipes.resolve(
            folder / f"plain/fresh_{kind}.yaml", overrides=["model.head.num_classes=2"]
        )
        part = getattr(recipe.model, kind)
        assert type(part).__name__ == f"Fresh{kind.title()}"
        parts = {
            "backbone": vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
            "decoder": vg.decoders.FPN(channels=8),
            "head": vg.heads.AnchorFree(num_classes=2, bins=4),
        }
        model = vg.Detector(**parts | {kind: part}, image_size=64)
        model.save(folder / "m.keras")
        assert vg.load(folder / "m.keras").parts == model.parts


def test_loss_and_decoding_of_a_head(folder, monkeypatch):
    import numpy as np

    head = imported("fresh_head", monkeypatch, folder / "plain").FreshHead(
        num_classes=3, channels=8, bins=4
    )
    raw = {
        "p3": {
            "boxes": np.zeros((2, 8, 8, 16), "float32"),
            "classes": np.zeros((2, 8, 8, 3), "float32"),
        }
    }
    boxes = np.array([[[8, 8, 40, 40]]] * 2, "float32")
    targets = {"boxes": boxes, "classes": np.zeros((2, 1), "int32")}
    terms = head.loss(raw, targets, HeadContext(head, (64, 64), None))
    assert all(np.isfinite(float(value)) for term in terms.values() for value in term)
    context = HeadContext(head, (64, 64), None)
    found, scores = head.decoding(raw, context).values()
    assert (tuple(found.shape), tuple(scores.shape)) == ((2, 64, 4), (2, 64, 3))


@pytest.mark.slow
def test_the_projects_own_tests_pass(folder):
    """Block, backbone and decoder by every check, fresh processes among them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"tests/test_{name}.py" for name in ("recipe", "block", "backbone", "decoder")]
    found = subprocess.run(
        command, cwd=folder / "fresh_cells", capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    "kind", ["layer", *(pytest.param(k, marks=pytest.mark.slow) for k in ("head", "mask_head"))]
)
def test_layers_and_heads_are_valid(folder, monkeypatch, kind):
    test = imported(f"test_fresh_{kind}", monkeypatch, folder / "plain")
    quick = functools.partial(test.assert_valid, backends=())
    monkeypatch.setattr(test, "assert_valid", quick)
    test.test_is_valid()


@pytest.fixture
def registered(monkeypatch):
    """Undo what the test registers and imports: a registered task applies to every dataset."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    for kind in OTHERS:  # imported again, they register again
        monkeypatch.delitem(sys.modules, f"fresh_{kind}", raising=False)
    yield
    for kind in OTHERS:  # or the names could not be used again
        sys.modules.pop(f"fresh_{kind}", None)


@pytest.mark.parametrize(
    "kind",
    # That of a decoding takes eleven seconds.
    [pytest.param(k, marks=[pytest.mark.slow] * (k == "decoding")) for k in OTHERS],
)
def test_components_are_valid_without_a_warning(folder, monkeypatch, registered, kind):
    module = imported(f"fresh_{kind}", monkeypatch, folder / "plain")
    name = f"fresh_{kind}" if kind == "activation" else f"Fresh{kind.title()}"
    report = check_component(vars(module)[name])
    assert report.ok, report
    assert not report.warnings, report
    test = (folder / "plain" / f"test_fresh_{kind}.py").read_text(encoding="utf-8")
    assert f"assert_valid({name})" in test


def test_recipe_lines_build_the_components(folder, monkeypatch, registered):
    """Use the last words of the printed commands as they are."""
    for kind in OTHERS:
        imported(f"fresh_{kind}", monkeypatch, folder / "plain")
    lines = {}
    for kind in OTHERS:
        *_, command = new(kind, f"line_{kind}", folder / "lines").commands
        if "train" in command:
            line = shlex.split(command)[-1].replace(f"Line{kind.title()}", f"Fresh{kind.title()}")
            lines[kind] = line.replace(f"line_{kind}", f"fresh_{kind}")
    assert set(OTHERS) - set(lines) <= {"writer", "exporter", "initializer", "activation"}
    for kind, line in lines.items():
        head = {"type": "FreshTaskHead" if kind == "task" else "AnchorFree", "num_classes": 2}
        fields = {"data": {"path": "my_images"}, "model": {"head": head}}
        length = ["training.epochs=1", "training.batch_size=2", "model.head.num_classes=2"]
        found = recipes.resolve(fields, overrides=[line, *length])
        assert f"Fresh{kind.title()}" in str(found.to_dict()) or found.task == f"fresh_{kind}", kind


def test_lint_finds_nothing(folder):
    report = linting.lint([folder / "plain"])
    assert report.ok
    assert not report.findings


@pytest.mark.slow
def test_the_tests_of_all_components_pass_in_a_fresh_project(tmp_path):
    """One process for all; layers and parts have tests of their own above."""
    for kind in OTHERS:
        new(kind, f"fresh_{kind}", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(OTHERS)} passed" in found.stdout


@pytest.mark.parametrize("kind", CREATED)
def test_nothing_is_overwritten(tmp_path, kind):
    made = new(kind, "fresh_again", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="already exists"):
        new(kind, "fresh_again", tmp_path)
    if kind != "project":
        made.files[0].unlink()
        with pytest.raises(UserError, match=f"{made.files[1].name} already exists"):
            new(kind, "fresh_again", tmp_path)
        assert not made.files[0].exists()
    assert all(path.read_bytes() == before[path] for path in before if path.exists())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "not a valid name"),
        ("2fast", "not a valid name"),
        ("../escape", "not a valid name"),
        ("a b", "not a valid name"),
        ("_hidden", "not a valid name"),
        ("größe", "not a valid name"),
        ("x" * 33, "longer than"),
        ("class", "Python keyword"),
        ("None", "Python keyword"),
        ("Decoder", "name of a base class"),
        ("FPN", "the name FPN is already used"),
        ("json", "finds another module"),
        ("keras", "finds another module"),
    ],
)
def test_invalid_names(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        new("block", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "task", "message"),
    [
        ("head", "instance_segmentatoin", "did you mean instance_segmentation"),
        ("head", "classification", "one of detection, instance_segmentation"),
        ("loss", "detection", "a template of the kind loss depends on no task"),
    ],
)
def test_only_heads_have_a_task(tmp_path, kind, task, message):
    with pytest.raises(UserError, match=message):
        new(kind, "fresh_one", tmp_path, task=task)
    assert list(tmp_path.iterdir()) == []


def test_unknown_kind(tmp_path):
    with pytest.raises(UserError, match="did you mean decoder"):
        new("decodr", "Some", tmp_path)


@given(st.text(max_size=12))
def test_any_name_is_rejected_or_creates_valid_python(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("any")
    try:
        made = new("block", name, folder)
    except UserError:
        assert list(folder.iterdir()) == []
        return
    for path in made.files:
        assert path.parent == folder
        compile(path.read_text("utf-8"), path.name, "exec")


@pytest.mark.parametrize(
    ("cls", "field", "text"),
    [
        (vg.backbones.MobileNetV2, "top_channels", "int > 0 | None"),
        (
            vg.backbones.GELAN,
            "stem",
            "tuple[int >= 8 <= 65536 multiple of 2, int >= 8 <= 65536 multiple of 2]",
        ),
        (vg.heads.AnchorBased, "anchors", "dict[str, tuple[tuple[float > 0, float > 0], ...]]"),
        (vg.heads.RetinaNetHead, "norm", "'none' | 'group'"),
        (vg.heads.RetinaNetHead, "levels", "tuple[str, ...] | None"),
        (vg.heads.RetinaNetHead, "loss", "Loss"),
    ],
)
def test_types_of_fields_have_limits_also_within_others(cls, field, text):
    assert {entry.name: entry.type for entry in of_typed(cls)}[field] == text
