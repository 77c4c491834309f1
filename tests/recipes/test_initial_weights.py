"""A run starts from pretrained weights, completely or not at all."""

import importlib
import json

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, UserError
from visiongarden.layers import ConvNormAct
from visiongarden.recipes import resolve, show, train
from visiongarden.scenes import make_scenes

SMALL = [
    "model.image_size=64",
    "model.backbone=Plain",
    "model.decoder={type: FPN, channels: 8}",
    "training.epochs=1",
    "training.batch_size=4",
    "training.tensorboard=false",
]


@vg.register(package="test_initial_weights")
class Plain(vg.Backbone):
    """Three convolutions, and another one between them if `extra` is set."""

    levels: tuple[str, ...] = ("p3", "p4", "p5")
    filters: int = 4
    extra: bool = False

    def wire(self, images):
        x = ConvNormAct(self.filters, 3, strides=8, name="stem")(images)
        if self.extra:
            x = ConvNormAct(self.filters, 3, name="inserted")(x)
        y = ConvNormAct(8, 3, strides=2, name="down")(x)
        return {"p3": x, "p4": y, "p5": ConvNormAct(8, 3, strides=2, name="last")(y)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data") / "scenes", 12, (64, 64))


@pytest.fixture(scope="module")
def run(tmp_path_factory, scenes):
    """The folder of a run: its recipe and the best model, all of whose weights are 0.01 to 1."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    folder.mkdir()
    names = ("ring", "disc", "lorry")
    model = resolve(scenes, overrides=SMALL).build(class_map=None)
    model = type(model)(
        backbone=model.parts.backbone,
        decoder=model.parts.decoder,
        head=vg.heads.AnchorFree(num_classes=3),
        image_size=64,
        class_map=names,
    )
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.uniform(0.01, 1, weight.shape))
    model.save(folder / "best.keras")
    return folder


@pytest.fixture
def trained(monkeypatch):
    """Models that `train` would train: it ends where the first step would be."""
    models = []

    def stop(model, *arguments, **options):
        models.append(model)
        raise UserError("far enough")

    monkeypatch.setattr(importlib.import_module("visiongarden.recipes.running"), "fit", stop)
    return models


def started(trained, *arguments, **options):
    with pytest.raises(UserError, match="far enough"):
        train(*arguments, **options)
    return trained[-1]


def values(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


@pytest.mark.parametrize(
    "form",
    ["run", "recipe"]
    + [pytest.param(f, marks=pytest.mark.slow) for f in ("override", "checkpoint")],
)
def test_what_weights_may_be(scenes, run, tmp_path, trained, form, caplog):
    caplog.set_level("INFO", logger="visiongarden")
    source = vg.load(run / "best.keras")
    output = tmp_path / "run"
    if form == "checkpoint":
        source.save_weights(tmp_path / "first.weights.h5")
        model = started(
            trained, scenes, *SMALL, weights=tmp_path / "first.weights.h5", output=output
        )
    elif form == "recipe":
        fields = {"data": {"path": str(scenes)}, "model": {"weights": str(run)}}
        model = started(trained, fields, *SMALL, output=output)
    elif form == "override":
        model = started(trained, scenes, *SMALL, f"model.weights={run}", output=output)
    else:
        model = started(trained, scenes, *SMALL, weights=run, output=output)
    before, after = values(source), values(model)
    body = [path for path in after if path.startswith(("backbone/", "decoder/"))]
    assert len(body) == 27
    for path in body:
        np.testing.assert_array_equal(after[path], before[path])
    report = json.loads((output / "weights.json").read_text())["report"]
    assert report["coverage"] == 1.0
    assert "copied by part: backbone 100.0%" in caplog.text
    assert resolve(output / "recipe.yaml").model.weights is not None


def test_class_rows_go_by_name(scenes, run, tmp_path, trained):
    model = started(trained, scenes, *SMALL, weights=run, output=tmp_path / "run")
    source = vg.load(run / "best.keras")
    names = model.class_map.names
    kernels = [path for path in values(model) if path.startswith("head/") and "kernel" in path]
    outputs = [path for path in kernels if values(model)[path].shape[-1] == len(names)]
    assert outputs
    for path in outputs:
        before, after = values(source)[path], values(model)[path]
        for name in ("disc", "ring"):
            row, old = names.index(name), source.class_map.names.index(name)
            np.testing.assert_array_equal(after[..., row], before[..., old])
        assert not np.isin(before[..., 2], after).any()


def test_too_little_is_loaded(scenes, run, tmp_path, trained):
    with pytest.raises(UserError) as error:
        train(scenes, *SMALL, "model.backbone.filters=8", weights=run, output=tmp_path / "run")
    text = str(error.value)
    assert "% of Detector" in text
    assert "backbone would be copied" in text
    assert "missing: backbone/" in text
    assert "model.weights.min_coverage=" in text
    assert not (tmp_path / "run").exists()
    assert not trained


@pytest.mark.slow
def test_inserted_blocks_and_another_decoder(scenes, tmp_path, trained):
    source = resolve(scenes, overrides=SMALL).build()
    source.save(tmp_path / "first.keras")
    overrides = [*SMALL, "model.backbone.extra=true", "model.decoder.channels=4"]
    options = {"weights": tmp_path / "first.keras", "output": tmp_path / "run"}
    with pytest.raises(UserError, match="backbone/inserted") as error:
        train(scenes, *overrides, **options)
    # stem 3·9·4 + 16, down 4·9·8 + 32 and last 8·9·8 + 32 of those and inserted 4·9·4 + 16.
    assert error.value.fix == "model.weights.min_coverage=0.86"
    assert 1052 / 1212 > 0.86
    model = started(trained, scenes, *overrides, error.value.fix, **options)
    before, after = values(source), values(model)
    kept = [path for path in after if path.startswith("backbone/") and path in before]
    assert len(kept) == 15
    assert all((before[path] == after[path]).all() for path in kept)


def test_only_some_weights(scenes, run, tmp_path, trained):
    only = "model.weights.only=backbone/stem/**"
    model = started(trained, scenes, *SMALL, only, weights=run, output=tmp_path / "run")
    before, after = values(vg.load(run / "best.keras")), values(model)
    same = [path for path in before if path in after and np.array_equal(before[path], after[path])]
    assert same
    assert all(path.startswith("backbone/stem/") for path in same)
    with pytest.raises(UserError, match="matches no weight") as error:
        train(scenes, *SMALL, "model.weights.only=backbon/**", weights=run, output=tmp_path / "no")
    assert "backbone" in error.value.fix


def test_images_are_preprocessed_as_for_the_weights(scenes, tmp_path, trained):
    recipe = resolve(scenes, overrides=SMALL)
    wanted = vg.Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
    recipe.build(preprocessing=wanted).save(tmp_path / "first.keras")
    weights = {"weights": tmp_path / "first.keras"}
    model = started(trained, scenes, *SMALL, **weights, output=tmp_path / "run")
    assert model.preprocessing == wanted
    other = "model.preprocessing={mean: [0.1, 0.1, 0.1]}"
    with pytest.raises(UserError, match="preprocesses images in another way"):
        train(scenes, *SMALL, other, **weights, output=tmp_path / "no")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("nowhere", "there are no weights .*nowhere"),
        ("haf.keras", r"did you mean .*half\.keras\?"),
        ("", "contains no best.keras"),
        ("notes.txt", "not a weights file of a known type"),
        ("half.keras", "half.keras"),
    ],
)
def test_weights_that_cannot_be_used(scenes, run, tmp_path, trained, weights, message):
    (tmp_path / "notes.txt").write_text("hello")
    whole = (run / "best.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=message):
        train(scenes, *SMALL, weights=tmp_path / weights, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not trained


def test_fields_of_weights(scenes):
    recipe = resolve(scenes, overrides=["model.weights=runs/a", "model.weights.only=backbone"])
    assert recipe.model.weights.only == ("backbone",)
    assert resolve(recipe.to_dict()) == recipe
    with pytest.raises(ConfigError, match="min_coverage"):
        resolve(scenes, overrides=["model.weights={source: a, min_coverage: 2}"])
    with pytest.raises(ConfigError, match="source"):
        resolve(scenes, overrides=["model.weights.only=backbone"])


@pytest.mark.parametrize(
    ("task", "overrides", "peak"),
    [
        ("classification", [], 0.001),
        ("classification", ["training.freeze=[backbone/**]"], 0.003),
        ("multi_label", ["training.freeze=backbone"], 0.003),
        ("classification", ["training.freeze=[backbone/stem]"], 0.001),
        (
            "classification",
            ["training.freeze=[backbone/**]", "training.unfreeze_at_epoch=2"],
            0.001,
        ),
        (
            "classification",
            ["training.freeze=[backbone/**]", "training.optimizer.learning_rate.peak=0.01"],
            0.01,
        ),
        ("detection", ["training.freeze=[backbone/**]"], 0.002),
    ],
)
def test_the_learning_rate_of_a_head_on_a_frozen_backbone(task, overrides, peak):
    training = {"epochs": 3, "batch_size": 4}
    head = {"classification": "Classification", "multi_label": "MultiLabel"}
    model = {"head": {"type": head.get(task, "AnchorFree"), "num_classes": 3}}
    recipe = resolve(
        {"task": task, "model": model, "data": {"path": "x"}, "training": training},
        overrides=overrides,
    )
    assert recipe.training.optimizer.arguments["learning_rate"]["peak"] == peak
    assert resolve(recipe.to_dict()).training == recipe.training


@pytest.mark.slow
def test_frozen_layers_are_marked_and_must_be_pretrained(scenes, run, tmp_path, trained):
    freeze = "training.freeze=[backbone/stem, backbone/last/conv]"
    figure = show(resolve(scenes, overrides=[*SMALL, freeze]))
    kinds = {row.stage: row.kind for row in figure.rows if row.part == "backbone"}
    assert kinds == {
        "stem": "ConvNormAct, frozen", "down": "ConvNormAct", "last": "ConvNormAct, partly frozen",
    }  # fmt: skip
    # A 3×3 kernel of 3 and 4 channels with gamma and beta, and a kernel of 8 and 8.
    assert figure.count.frozen == (27 * 4 + 8) + 9 * 8 * 8
    assert "684 frozen" not in str(show(resolve(scenes, overrides=SMALL)))
    with pytest.raises(ConfigError, match="hold no loaded values"):
        train(scenes, *SMALL, freeze, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    only = "model.weights.only=[backbone/stem]"
    with pytest.raises(ConfigError, match="hold no loaded values"):
        train(scenes, *SMALL, freeze, only, weights=run, output=tmp_path / "run")
    started(trained, scenes, *SMALL, freeze, weights=run, output=tmp_path / "run")


@pytest.mark.slow
def test_a_fine_tuned_run_is_extended_without_its_source(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "first.keras"
    wanted = vg.Preprocessing(mean=(0.4, 0.5, 0.6))
    resolve(scenes, overrides=SMALL).build(preprocessing=wanted).save(source)
    before = values(vg.load(source))
    frozen = ["training.freeze=[backbone/**]", "training.patience=50", "training.epochs=2"]
    first = train(scenes, *SMALL, *frozen, weights=source)
    assert [set(row) >= {"loss", "val_loss", "AP"} for row in first.history] == [True, True]
    after = values(first.model())
    assert all((before[p] == after[p]).all() for p in after if p.startswith("backbone/"))
    assert any((before[p] != after[p]).any() for p in after if p.startswith("head/"))
    source.unlink()
    # By the dataset, and by the folder of the run.
    second = train(scenes, "training.epochs=3", resume=True)
    third = train(first.folder, "training.epochs=4", "training.extend=restart", resume=True)
    assert (second.folder, third.folder) == (first.folder, first.folder)
    assert [row["epoch"] for row in third.history] == [1, 2, 3, 4]
    assert third.model().preprocessing == wanted
    assert resolve(first.folder / "recipe.yaml").training.epochs == 4
