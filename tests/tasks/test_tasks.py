"""Each task from a folder to an exported file, with equal calls and commands."""

import csv
import json

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.config import load_yaml
from visiongarden.data import Dataset, read
from visiongarden.errors import DataError, UserError
from visiongarden.evaluation import evaluate, predict
from visiongarden.recipes import resolve, train
from visiongarden.samples import ImageInfo, Sample
from visiongarden.scenes import make_mask_scenes, make_scenes
from visiongarden.tasks import Task, find, task_of, task_of_data
from visiongarden.types import ClassMap, Ranking, Segments

pytestmark = pytest.mark.xdist_group("tasks")  # one worker makes what the tests share

COLORS = {"blue": (40, 40, 220), "green": (40, 200, 40), "red": (220, 40, 40)}
TINY = [
    "model.image_size=32",
    "model.backbone.width=0.0625",
    "training.epochs=2",
    "training.precision=float32",
    "training.batch_size=4",
    "training.optimizer.learning_rate.warmup_epochs=0",
    "training.tensorboard=false",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for name, color in COLORS.items():
            folder = root / "folders" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = np.clip(rng.normal(color, 20, (40, 30 + i, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    make_mask_scenes(root / "masks", 10, (32, 32))
    make_scenes(root / "boxes", 6, (32, 32))
    return root


DATASETS = {"classification": "folders", "segmentation": "masks"}


@pytest.fixture(
    scope="module", params=["classification", pytest.param("segmentation", marks=pytest.mark.slow)]
)
def run(request, data):
    recipe = resolve(data / DATASETS[request.param], overrides=TINY)
    return recipe, train(recipe, output=data / f"run-{request.param}").folder


def test_the_task_follows_from_the_data(data):
    assert task_of_data(read(data / "folders")).name == "classification"
    assert task_of_data(read(data / "masks")).name == "segmentation"
    assert task_of_data(read(data / "boxes")).name == "detection"
    assert task_of_data(read(data / "boxes" / "train.json")).name == "detection"
    assert resolve(data / "folders").task == "classification"
    assert resolve(data / "masks").task == "segmentation"
    with pytest.raises(DataError, match=r"the dataset .* does not exist"):
        resolve(data / "nowhere")
    images = Dataset(ClassMap(("a",)), [Sample(ImageInfo(0, None, (4, 4)))])
    with pytest.raises(UserError, match="no annotations that a task needs"):
        task_of_data(images)
    with pytest.raises(
        UserError,
        match="classification, detection, instance_segmentation, multi_head, multi_label, ",
    ):
        find("counting")


def test_a_folder_beside_a_yaml_of_detection(data, tmp_path):
    """`images` beside `labels` with a data.yaml is YOLO's; class folders need no splits."""
    (tmp_path / "images").mkdir(), (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    assert task_of_data(read(tmp_path)).name == "detection"
    assert task_of_data(read(data / "folders" / "val")).name == "classification"


# Several heads have the tasks of their heads; tests/models/test_multi_head.py tests them.
@pytest.mark.parametrize("name", sorted(Task.by_name().keys() - {"multi_head"}))
def test_a_task_has_a_model_and_metrics(name):
    task = find(name)
    assert task == Task.from_dict(name) == Task.from_dict({"type": type(task).__name__})
    assert task.to_dict()["type"] == type(task).__name__
    assert Task.from_dict(task.to_dict()) == task
    assert task.name == name
    assert task.model in (vg.Classifier, vg.Detector, vg.Segmenter)
    metrics = task.metrics(ClassMap(("a", "b")))
    for metric in metrics:
        metric.reset_state()
    assert task.monitor in {name for metric in metrics for name in metric.result()}


def test_a_run_folder_is_complete(run):
    recipe, folder = run
    assert {p.name for p in folder.iterdir()} >= {
        "recipe.yaml", "environment.json", "best.keras", "last.keras", "history.json",
        "resume.npz", "curves.png",
    }  # fmt: skip
    assert resolve(folder / "recipe.yaml") == recipe
    history = json.loads((folder / "history.json").read_text())
    assert len(history) == 2
    assert find(recipe.task).monitor in history[-1]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["keras"]
    assert environment["backend"] == "tensorflow"
    assert load_yaml(folder / "recipe.yaml")["training"]["seed"] == 0


@pytest.mark.slow
def test_a_saved_recipe_gives_the_same_history(run, tmp_path):
    _, folder = run
    again = train(folder / "recipe.yaml", output=tmp_path / "again").folder
    first, second = (json.loads((place / "history.json").read_text()) for place in (folder, again))
    for a, b in zip(first, second, strict=True):
        assert a == pytest.approx(b, rel=1e-5, nan_ok=True)


@pytest.mark.slow
def test_by_command(run, data, tmp_path, capsys):
    recipe, folder = run
    source, model = data / DATASETS[recipe.task], folder / "best.keras"
    images = source / ("val/red" if recipe.task == "classification" else "images/val")

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        assert ended.value.code == 0, capsys.readouterr().err
        return capsys.readouterr().out

    printed = command("evaluate", model, source)
    assert find(recipe.task).title in printed
    assert find(recipe.task).monitor in printed
    out = tmp_path / "out"
    command("predict", model, images, "--output", out)
    pictures = sorted(images.iterdir())
    assert (out / f"{pictures[0].stem}.png").is_file()
    if recipe.task == "classification":
        rows = list(csv.DictReader((out / "classes.csv").read_text().splitlines()))
        assert len(rows) == 3
        assert sum(float(rows[0][name]) for name in COLORS) == pytest.approx(1, abs=1e-3)
        best = json.loads((out / "classes.json").read_text())[0]["classes"][0]["class"]
        assert rows[0]["class"] == best
    else:
        row = json.loads((out / "segments.json").read_text())[0]
        mask = cv2.imread(str(out / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (32, 32)
        assert sum(s["share"] for s in row["segments"]) == pytest.approx(1, abs=1e-3)
        names = vg.load(model).class_map.names
        first = row["segments"][0]
        assert first["share"] == pytest.approx(
            (mask == names.index(first["class"])).mean(), abs=1e-3
        )
    assert "params" in command("show", model)
    printed = command("export", model, "--output", tmp_path / "m.onnx")
    assert "agrees" in printed
    assert ("classes on" if recipe.task == "classification" else "pixels on") in printed


def test_evaluation_is_the_metric_of_the_predictions(run, data):
    """`evaluate` and `predict` treat an image alike: computed by hand from the predictions."""
    recipe, folder = run
    model = vg.load(folder / "best.keras")
    if recipe.task == "classification":
        val = read(data / "folders", split="val")
        found = list(predict(model, val.samples.paths, batch_size=4))
        assert all(isinstance(one, Ranking) and len(one) == 3 for one in found)
        right = [
            one.classes[0] == ground_truth
            for one, ground_truth in zip(found, val.samples.classes, strict=True)
        ]
        expected = {"top1": np.mean(right)}
    else:
        val = read(data / "masks", split="val")
        found = list(predict(model, val.samples.images))
        assert all(isinstance(one, Segments) for one in found)
        pairs = [(one.classes, val.load(i).semantic) for i, one in enumerate(found)]
        expected = {"accuracy": np.mean([(a == b).mean() for a, b in pairs])}
    result = evaluate(model, val, batch_size=4)
    assert result.images == len(val)
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(value)


@pytest.mark.slow
def test_a_classifier_learns(data, tmp_path):
    """Three plain colors are distinguished after some hundred steps."""
    overrides = [
        *TINY,
        "model.backbone.levels=[p3]",
        "model.decoder.levels=[p3]",
        "training.epochs=40",
        "training.optimizer.learning_rate.peak=0.005",
        "training.validate_every=10",
    ]
    folder = train(data / "folders", *overrides, output=tmp_path / "run").folder
    history = json.loads((folder / "history.json").read_text())
    assert max(entry.get("top1", 0) for entry in history) == 1.0


@pytest.mark.backends
@pytest.mark.parametrize("name", DATASETS)
def test_a_step_on_every_backend(name, data):
    """The loss of one batch falls when it is learned again and again."""
    import keras

    from visiongarden.training import Training
    from visiongarden.training.building import make_optimizer

    # At p5 an image of 32 pixels is one cell, over which no batch can be normalized.
    shallow = ["model.backbone.levels=[p3]", "model.decoder.levels=[p3]", "model.head.dropout=0"]
    recipe = resolve(data / DATASETS[name], overrides=[*TINY, *shallow])
    task = find(name)
    dataset = read(data / DATASETS[name])
    parts = recipe.model
    model = task.model(
        backbone=parts.backbone, decoder=parts.decoder, head=parts.head, image_size=32
    )
    assert task_of(model) == task
    batch = next(task.loader(dataset, (32, 32), 4, recipe.transforms).epoch(0))
    settings = Training(optimizer={"learning_rate": {"peak": 0.003, "warmup_epochs": 0}}, epochs=12)
    jit = keras.backend.backend() == "jax"  # otherwise each operation is compiled separately
    model.compile(optimizer=make_optimizer(settings, 1), jit_compile=jit)
    losses = [
        float(model.train_on_batch(batch.images, batch.targets, return_dict=True)["loss"])
        for _ in range(12)
    ]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("folders", {"task": "counting"}, "unknown task 'counting'"),
        ("folders", {"task": "segmentation"}, "no semantic masks, which segmentation needs"),
        ("boxes", {"reader": "Mask"}, "unknown Reader|did you mean"),
        ("masks", {"overrides": ["transforms.Mosaic.grid=3"]}, "no element 'Mosaic'"),
        (
            "folders",
            {"overrides": ["transforms.HorizontalFlip.probability=2"]},
            "must be at most 1",
        ),
        ("masks", {"overrides": ["model.head.num_classes=1"]}, "greater than 1"),
    ],
)
def test_wrong_recipes(data, source, options, message):
    with pytest.raises(UserError, match=message):
        resolve(data / source, **options)


def test_a_head_decides_the_task(tmp_path):
    fields = {
        "model": {"head": {"type": "Segmentation", "num_classes": 4}},
        "data": {"path": str(tmp_path)},
    }
    recipe = resolve(fields)
    assert recipe.task == "segmentation"
    assert recipe.transforms == find("segmentation").transforms()
    assert recipe.model.decoder == vg.decoders.UNet(channels=64, levels=("p2", "p3", "p4"))


@pytest.mark.slow
def test_a_segmenter_of_the_default_recipe_learns(tmp_path):
    """Overfit few images: from a mean IoU of 0.15, all background, to an overlap in each class.

    A semantic feature pyramid down to p5 without Dice, 1.7 million parameters, reached 0.5.
    """
    few = make_mask_scenes(tmp_path / "scenes", 16, (64, 64))
    fields = {
        "data": {"path": str(few)},
        "transforms": [],
        "training": {"epochs": 40, "batch_size": 4, "validate_every": 40, "tensorboard": False},
    }
    recipe = resolve(fields, overrides=["model.image_size=64"])
    model = vg.load(train(recipe, output=tmp_path / "run").last)
    metrics = evaluate(model, read(few)).metrics
    assert metrics["mIoU"] > 0.7
