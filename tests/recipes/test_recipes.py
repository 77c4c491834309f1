"""Recipes become one complete run, or an error that names the field."""

import importlib
import json
import random
import re
import shlex
from pathlib import Path

import keras
import pytest

import visiongarden as vg
from visiongarden.config import dump_yaml, load_yaml
from visiongarden.errors import ConfigError, DataError, UserError
from visiongarden.recipes import Recipe, resolve, show, train
from visiongarden.scenes import make_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data") / "scenes", 20, (64, 64))


def test_a_dataset_alone_is_a_recipe(scenes):
    recipe = resolve(scenes)
    assert recipe.model.head == vg.heads.AnchorFree(num_classes=5)
    assert recipe.model.image_size == (320, 320)
    assert recipe.data.path == scenes
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_overrides_reach_every_field(scenes):
    recipe = resolve(
        scenes,
        "COCO",
        "drop",
        [
            "model.decoder.type=FPN",
            "model.decoder.channels=96",
            "model.image_size=64",
            "training.epochs=2",
            "model.head.type=AnchorBased",
            "training.multi_scale=0.5",
            "transforms.HSV.hue=0.1",
            "transforms[0].degrees=5",
        ],
    )
    assert recipe.model.decoder == vg.decoders.FPN(channels=96)
    assert recipe.model.head == vg.heads.AnchorBased(num_classes=5)
    assert (type(recipe.data.reader).__name__, recipe.data.invalid_boxes) == ("COCO", "drop")
    assert (recipe.model.image_size, recipe.training.epochs) == ((64, 64), 2)
    assert recipe.training.multi_scale == 0.5
    assert [type(one).__name__ for one in recipe.transforms] == ["Affine", "HorizontalFlip", "HSV"]
    assert (recipe.transforms[2].hue, recipe.transforms[0].degrees) == (0.1, 5)


def test_a_recipe_file_is_read_back_unchanged(tmp_path, scenes):
    recipe = resolve(scenes, overrides=["training.epochs=3"])
    (tmp_path / "recipe.yaml").write_text(dump_yaml(recipe))
    assert resolve(tmp_path / "recipe.yaml") == recipe
    assert load_yaml(tmp_path / "recipe.yaml")["training"]["epochs"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.decoder.type=FNP", "did you mean FPN"),
        ("model.decoder.type=my_project.necks:SumNeck", "--import my_project.necks"),
        ("model.decoder.chanels=3", "channels"),
        ("training.epochs=many", "training.epochs: must be a whole number"),
        ("training.epoch=3", "did you mean epochs"),
        ("model.image_size=100", "fix: model.image_size=96 or model.image_size=128"),
        ("model.head.num_classes=0", "model.head.num_classes: must be greater than 0"),
        ("training.multi_scale=0.6", "training.multi_scale: must be .*0.5"),
        ("transforms.Mosiac.probability=0", "no element 'Mosiac'"),
        ("transforms.HSV.huge=0", "did you mean hue"),
        ("transforms.HSV.hue=7", "must be at most 0.5"),
        ("transforms[5].hue=0", "the list has no element '5'"),
        ("transforms=[Mosiac]", "did you mean Mosaic"),
        ("data.reader=Pascal", "unknown reader .Pascal."),
        ("nonsense", "training.epochs=50"),
    ],
)
def test_wrong_fields_are_named(scenes, override, message):
    with pytest.raises(UserError) as error:
        resolve(scenes, overrides=[override])
    assert re.search(message, str(error.value)), str(error.value)
    assert str(error.value).count("\n") < 6


def test_a_recipe_without_data(tmp_path):
    (tmp_path / "recipe.yaml").write_text("training: {epochs: 3}")
    with pytest.raises(ConfigError, match="the recipe has no dataset"):
        resolve(tmp_path / "recipe.yaml")


TINY = [
    "model.image_size=64",
    "model.backbone.width=0.0625",
    "model.decoder.type=FPN",
    "model.decoder.channels=16",
    "training.epochs=2",
    "training.precision=float32",
    "training.batch_size=4",
    "training.optimizer.learning_rate.warmup_epochs=0",
]


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3,), {}, "a Recipe, its file"),
        ((None,), {}, "a Recipe, its file"),
        (([],), {}, "a Recipe, its file"),
        (("nowhere",), {}, "nowhere"),
        (("nowhere.yaml",), {}, "nowhere.yaml"),
        (("scenes", Path("run")), {}, 'output="run"'),
        (("scenes", 3), {}, "3 is not an override"),
        (("scenes", "training.epochs"), {}, "is not path=value"),
        (("scenes",), {"callbacks": [print]}, "is not a callback"),
        (("scenes",), {"callbacks": keras.callbacks.TerminateOnNaN()}, "a list of callbacks"),
        (("scenes",), {"accept_changes": True}, "resume=True"),
    ],
)
def test_arguments_of_train_that_are_not_valid(
    scenes, tmp_path, monkeypatch, arguments, options, words
):
    monkeypatch.chdir(tmp_path)
    arguments = [scenes if each == "scenes" else each for each in arguments]
    with pytest.raises(UserError, match=words):
        train(*arguments, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_from_end_to_end(tmp_path, scenes, capsys, caplog):
    caplog.set_level("INFO", logger="visiongarden")
    recipe = resolve(scenes, overrides=TINY)
    seen = Seen()
    result = train(scenes, *TINY, output=tmp_path / "run", callbacks=[seen])
    folder = result.folder
    assert seen.epochs == [0, 1]
    assert {p.name for p in folder.iterdir()} >= {
        "recipe.yaml",
        "environment.json",
        "best.keras",
        "last.keras",
        "history.json",
        "curves.png",
        "tensorboard",
    }
    assert vg.load(folder / "best.keras").class_map.names[0] == "disc"
    assert resolve(folder / "recipe.yaml") == recipe
    assert "16 training images, 4 validation images" in caplog.text
    assert "epoch   2/2  loss " in caplog.text
    assert capsys.readouterr() == ("", "")
    assert result.recipe == recipe
    assert (result.best, result.last) == (folder / "best.keras", folder / "last.keras")
    again = vg.evaluation.evaluate(result.model(), vg.data.read(scenes, split="val"))
    assert str(result) == f"{again}\n\nbest model: {folder / 'best.keras'}"
    written = json.loads((folder / "history.json").read_text())
    as_json = json.loads(json.dumps(result.to_dict()))
    assert [epoch["loss"] for epoch in as_json["history"]] == [e["loss"] for e in written]
    assert as_json["recipe"] == recipe.to_dict()
    assert as_json["metrics"]["AP"] == pytest.approx(again.metrics["AP"], nan_ok=True)
    assert repr(result).startswith(f"TrainingResult(folder={str(folder)!r}, epochs=2, AP=")
    with pytest.raises(UserError, match="already contains a run"):
        train(recipe, output=tmp_path / "run")
    assert "p3" in str(show(folder / "recipe.yaml"))
    assert str(show(folder / "best.keras"))


def test_showing_a_recipe_creates_no_weight(tmp_path, scenes):
    recipe = resolve(scenes, overrides=TINY)
    (tmp_path / "recipe.yaml").write_text(dump_yaml(recipe))
    before = random.getstate()
    shown = show(tmp_path / "recipe.yaml")
    # Keras takes the seed of each new weight from this state.
    assert random.getstate() == before
    model = recipe.build()
    assert random.getstate() != before
    assert shown == vg.inspect.show(model)
    assert shown.count.total == model.count_params()


def test_training_does_not_start_on_invalid_data(tmp_path, scenes):
    broken = tmp_path / "scenes"
    make_scenes(broken, 6, (64, 64))
    file = broken / "train.json"
    file.write_text(re.sub(r'"category_id": \d', '"category_id": 9', file.read_text(), count=1))
    with pytest.raises(DataError, match=r"annotations\[0\]"):
        train(
            resolve(scenes, overrides=TINY).replace(data={"path": broken}), output=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_truncated_image_stops_before_training(tmp_path, scenes):
    broken = make_scenes(tmp_path / "scenes", 6, (64, 64))
    image = broken / "images" / "00001.png"
    image.write_bytes(image.read_bytes()[:-40])
    recipe = resolve(scenes, overrides=TINY)
    with pytest.raises(DataError, match=r"00001\.png"):
        train(recipe.replace(data={"path": broken}), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_head_with_another_number_of_classes(scenes, tmp_path):
    with pytest.raises(UserError, match="num_classes=5"):
        train(
            resolve(scenes, overrides=[*TINY, "model.head.num_classes=3"]), output=tmp_path / "run"
        )


def test_leakage_is_reported_and_different_classes_are_refused(tmp_path, monkeypatch, caplog):
    root = make_scenes(tmp_path / "scenes", 20, (64, 64))
    rows = {name: json.loads((root / f"{name}.json").read_text()) for name in ("train", "val")}
    train_image, val_image = (rows[name]["images"][0]["file_name"] for name in ("train", "val"))
    file = next(root.rglob(val_image.rpartition("/")[2]))
    file.write_bytes(next(root.rglob(train_image.rpartition("/")[2])).read_bytes())

    def stop(*arguments, **options):
        raise UserError("far enough")

    monkeypatch.setattr(importlib.import_module("visiongarden.recipes.running"), "fit", stop)
    recipe = resolve(root, overrides=TINY)
    with pytest.raises(UserError, match="far enough"):
        train(recipe, output=tmp_path / "run")
    printed = caplog.text
    assert "1 of 4 validation images are also training images" in printed
    assert "8 steps (epochs × steps per epoch: 2 × 4) are too few to train from scratch" in printed
    assert "training.epochs=300\n" in printed
    assert f"data check {root} --fix {root}-fixed" in printed
    rows["val"]["categories"].pop()
    rows["val"]["annotations"] = []
    (root / "val.json").write_text(json.dumps(rows["val"]))
    with pytest.raises(DataError, match="the splits have different classes"):
        train(recipe, output=tmp_path / "other")


def test_the_task_of_a_recipe_is_that_of_its_head():
    parts = {"backbone": "CSPDarknet", "decoder": "PassOn"}
    for name, task in (("AnchorFree", "detection"), ("Classification", "classification")):
        head = {"type": name, "num_classes": 2}
        fields = {"model": parts | {"head": head}, "data": {"path": "images"}}
        assert Recipe.from_dict(fields).task == task
    with pytest.raises(ConfigError, match="unknown Head 'Anchorfree'"):
        Recipe.from_dict({"model": parts | {"head": "Anchorfree"}, "data": {"path": "images"}})


def test_a_regression_and_a_card_are_shown_without_data(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: {head: Regression, image_size: 64}")
    shown = show(recipe)
    assert "Classifier, 1 value assumed (no dataset)" in shown.title
    recipe.write_text("model: {card: yolox-s}")
    assert "80 classes assumed" in show(recipe).title


@pytest.mark.parametrize(
    ("text", "assumed"),
    [
        ("model: {head: {type: AnchorFree, num_classes: 3}}\ndata: {path: nowhere}", False),
        pytest.param(
            "model: {head: {type: AnchorFree, num_classes: 3}}", False, marks=pytest.mark.slow
        ),
        pytest.param(
            "model: {head: AnchorFree}\ndata: {path: nowhere}", True, marks=pytest.mark.slow
        ),
        pytest.param(
            "model: {image_size: 64}\ndata: {path: nowhere}", True, marks=pytest.mark.slow
        ),
        ("training: {epochs: 3}", True),
        ("task: classification", True),
    ],
)
def test_a_recipe_is_shown_without_its_data(tmp_path, monkeypatch, text, assumed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(text)
    shown = show(tmp_path / "recipe.yaml")
    assert ("80 classes assumed" in shown.title) == assumed
    outputs = {row.output[-1] for row in shown.rows if row.part == "head"}
    assert (80 if assumed else 3) in outputs


def test_only_the_invalid_field_is_reported():
    head = {"type": "AnchorFree", "num_classes": 2}
    model = {"backbone": {"type": "CSPDarknet", "depht": 1}, "decoder": "PassOn", "head": head}
    with pytest.raises(
        ConfigError, match=r"^model\.backbone \(CSPDarknet\): unknown field 'depht'"
    ):
        Recipe.from_dict({"data": {"path": "pets"}, "model": model, "task": "detection"})


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("model.head.levels=[p3, p6]", "model.head.levels='[p3, p4, p5]'"),
        ("model.decoder={type: FPN, levels: [p3, p9]}", "model.decoder.levels='[p3, p4, p5]'"),
        ("model.head.num_classes=2", "model.head.num_classes=5"),
        (
            "model.head={type: AnchorBased, anchors: {p3: [[10, 13]], p4: [[9, 9]]}}",
            "model.head.anchors='{p3: [[10.0, 13.0]], p4: [[9.0, 9.0]], p5: [[256.0, 256.0]]}'",
        ),
        (
            "model.head={type: RetinaNetHead, assigner: {type: MaxIoU, positive: 0.3}}",
            "model.head.assigner.negative=0.3",
        ),
    ],
)
def test_the_fix_of_a_part_is_an_override(scenes, override, fix):
    def build(*more):
        recipe = resolve(scenes, overrides=[*TINY, override, *more])
        return recipe.build_weightless(class_map=vg.read(scenes).class_map)

    with pytest.raises(UserError) as info:
        build()
    assert info.value.fix == fix
    build(*shlex.split(fix))


def test_the_fix_may_be_another_part(scenes):
    overrides = ["model.backbone.width=0.0625", "model.head.type=RetinaNetHead"]
    with pytest.raises(UserError) as info:
        resolve(scenes, overrides=overrides).build_weightless()
    assert info.value.fix == "model.decoder='{type: FPN, channels: 64, levels: [p3, p4, p5]}'"
    fixed = resolve(scenes, overrides=[*overrides, *shlex.split(info.value.fix)])
    fixed.build_weightless()


def test_both_fixes_of_an_image_size_are_overrides(scenes):
    with pytest.raises(UserError) as info:
        resolve(scenes, overrides=["model.image_size=[100, 64]"]).model.check()
    fixes = info.value.fix.split(" or ")
    assert fixes == ["model.image_size='[96, 64]'", "model.image_size='[128, 64]'"]
    for fix in fixes:
        resolve(scenes, overrides=shlex.split(fix)).model.check()


def test_the_fix_of_one_head_among_several_names_it(scenes):
    heads = "{a: {type: AnchorFree}, b: {type: AnchorFree, levels: [p3, p6]}}"
    overrides = [*TINY, f"model.heads={heads}", "evaluation.monitor=a/AP"]
    with pytest.raises(UserError) as info:
        resolve(scenes, overrides=overrides).build_weightless()
    assert info.value.fix == "model.heads.b.levels='[p3]'"
    fixed = resolve(scenes, overrides=[*overrides, *shlex.split(info.value.fix)])
    fixed.build_weightless()
