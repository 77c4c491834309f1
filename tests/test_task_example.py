"""The task in `examples/`, which no file of the package knows, through all commands."""

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import registry
from visiongarden.cli.entry import main
from visiongarden.evaluation import evaluate, predict
from visiongarden.scenes import make_scenes

pytestmark = pytest.mark.xdist_group("task_example")  # one worker makes what the tests share

ROOT = Path(__file__).parents[1]
NAME = "density_counting"
SMALL = (
    "model.image_size=64", "model.backbone.width=0.125", "training.epochs=2",
    "training.batch_size=8", "training.optimizer.learning_rate.warmup_epochs=0",
    "training.tensorboard=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def example():
    known, path = dict(registry._known), list(sys.path)
    sys.path.insert(0, str(ROOT / "examples"))
    yield importlib.import_module(NAME)
    sys.path[:] = path
    sys.modules.pop(NAME)
    registry._known.clear()
    registry._known.update(known)


@pytest.fixture(scope="module")
def command(example):
    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--import", NAME])
        assert ended.value.code == code

    return run


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    root = tmp_path_factory.mktemp("counts")
    make_scenes(root / "scenes", 20, (64, 80))
    recipe = ROOT / "examples" / f"{NAME}.yaml"
    command("train", recipe, f"data.path={root / 'scenes'}", *SMALL, "--output", root / "run")
    return root


def test_no_file_of_the_package_names_it():
    files = [f for f in (ROOT / "src").rglob("*") if f.suffix in (".py", ".txt", ".yaml", ".json")]
    assert len(files) > 500
    assert [str(f) for f in files if "density" in f.read_text(encoding="utf-8").lower()] == []


def test_a_run_has_its_recipe_terms_and_metric(run):
    history = json.loads((run / "run" / "history.json").read_text())
    assert history[-1].keys() >= {"loss", "density", "count", "MAE"}
    saved = (run / "run" / "recipe.yaml").read_text()
    assert f"task: {NAME}" in saved
    assert "sigma: 1.5" in saved
    assert (run / "run" / "curves.png").is_file()
    model = vg.load(run / "run" / "best.keras")
    assert type(model.parts.head).__name__ == "DensityHead"
    assert model.class_map is not None


@pytest.mark.slow
def test_evaluate(run, command, capsys):
    command("evaluate", run / "run" / "best.keras", run / "scenes", "--json")
    found = json.loads(capsys.readouterr().out)
    dataset = vg.read(run / "scenes", split="val")
    true = np.array([np.bincount(s.instances.classes, minlength=5) for s in dataset])
    images = [dataset.image_path(i) for i in range(len(dataset))]
    counts = np.array([c.counts for c in predict(run / "run" / "best.keras", images)])
    assert found["metrics"]["MAE"] == pytest.approx(np.abs(counts - true).mean(), rel=1e-4)
    assert list(found["per_class"]) == list(dataset.class_map.names)
    # Its own batches: the images are not letterboxed, so the counts are those of the whole canvas.
    image, targets = np.zeros((2, 64, 64, 3), np.uint8), {
        "points": np.zeros((2, 1, 2), np.float32), "classes": np.array([[0], [-1]]),
    }  # fmt: skip
    assert evaluate(run / "run" / "best.keras", [(image, targets)]).images == 2


def test_predict_draws_and_writes_the_counts(run, command):
    images = vg.read(run / "scenes", split="val")
    files = [images.image_path(i) for i in range(2)]
    command("predict", run / "run" / "best.keras", *files, "--output", run / "out")
    rows = json.loads((run / "out" / "predictions.json").read_text())
    assert list(rows[0]["counts"]) == list(images.class_map.names)
    before, after = cv2.imread(str(files[0])), cv2.imread(str(run / "out" / f"{files[0].stem}.png"))
    assert before.shape == after.shape
    assert (before != after).any()


def test_list_and_show_know_it(run, command, capsys):
    command("list", "task")
    assert NAME in capsys.readouterr().out
    command("show", run / "run" / "best.keras")
    assert "Segmenter" in capsys.readouterr().out


@pytest.mark.slow
def test_check_proves_its_loss_and_decoding(example):
    report = vg.check(example.DensityHead(num_classes=3))
    assert report.ok, str(report)
    assert "decode to themselves" in report["loss_decode"].evidence


@pytest.mark.slow
def test_export(run, command, capsys):
    command("export", run / "run" / "best.keras", "--output", run / "counts.onnx")
    assert "agrees" in capsys.readouterr().out


def test_the_loss_of_a_perfect_map_is_zero(example):
    """A Gaussian of one object sums to 1, also at the border of the image."""
    loss, head = example.DensityLoss(sigma=0.5), example.DensityHead(num_classes=2)
    levels = vg.types.FeatureSpec({"p3": vg.types.LevelSpec(8, 8)})
    context = vg.types.HeadContext(head, (32, 32), levels)
    points = np.array([[[20, 12], [0, 0]]], np.float32)
    targets = {"points": points, "classes": np.array([[1, -1]], np.int32)}
    distance = (np.arange(4) + 0.5)[:, None] - points[0, 0] / 8
    rows, columns = (np.exp(-(distance[:, i] ** 2) / (2 * 0.5**2)) for i in (1, 0))
    true = np.outer(rows / rows.sum(), columns / columns.sum())
    density = np.stack([np.full((4, 4), 1e-9), true], axis=-1)[None]
    raw = {"p3": {"logits": np.log(np.expm1(density)).astype(np.float32)}}
    for term in loss(raw, targets, context).values():
        assert float(term.total) == pytest.approx(0, abs=1e-6)
        assert float(term.count) == 1


def test_errors_name_what_is_missing(run, tmp_path, capsys):
    """Without its module, or with a dataset without boxes, nothing starts."""
    recipe = tmp_path / "recipe.yaml"
    text = (ROOT / "examples" / f"{NAME}.yaml").read_text()
    recipe.write_text(text.replace(f"{NAME}:DensityCounting", "my_tasks:Counting"))
    with pytest.raises(SystemExit) as ended:
        main(["train", str(recipe), f"data.path={run / 'scenes'}"])
    error = capsys.readouterr().err
    assert (ended.value.code, "--import my_tasks" in error) == (2, True)
    (tmp_path / "train" / "a").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "train" / "a" / "0.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path), "--task", NAME])
    assert ended.value.code == 2
    assert "has no default model" in capsys.readouterr().err
