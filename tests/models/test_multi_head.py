"""Models with several heads: losses, saved files, predictions, metrics, export and recipes."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden import recipes
from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.losses import quotients
from visiongarden.tasks import task_of

SIZE = (64, 64)
NAMES = ("a", "b", "c")
BOXES = np.array([[[4, 4, 40, 40], [0, 0, 0, 0]], [[10, 10, 30, 50], [30, 20, 60, 44]]], "float32")
CLASSES = np.array([[0, -1], [2, 1]], "int32")
LABELS = np.array([[1, 0, 0], [0, 1, 1]], "float32")
TARGETS = {"cells/boxes": BOXES, "cells/classes": CLASSES, "kinds/labels": LABELS}
EXAMPLES = Path(__file__).parents[2] / "examples"
BCCD = Path(__file__).parents[3] / "shared" / "data" / "bccd"


def heads():
    return {
        "cells": vg.heads.AnchorFree(num_classes=3, bins=4),
        "kinds": vg.heads.MultiLabel(num_classes=3, levels=("p5",), dropout=0.0),
    }


def build(**fields):
    parts = {
        "backbone": vg.backbones.CSPDarknet(width=0.125, depth=0.33),
        "decoder": vg.decoders.FPN(channels=8),
        "heads": heads(),
        "image_size": SIZE,
        "class_map": NAMES,
    }
    return vg.MultiHead(**(parts | fields))


@functools.cache
def model():
    keras.utils.set_random_seed(3)
    found = build(loss_weights={"kinds": 0.5})
    # Distinct scores, so that no rounding decides which box suppresses which.
    rng = np.random.default_rng(0)
    for weight in found.head.weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return found


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


def images(count=2):
    return np.random.default_rng(1).integers(0, 256, (count, *SIZE, 3)).astype(np.uint8)


@pytest.mark.slow_backends
def test_the_loss_is_that_of_each_head_with_its_weight():
    raw = model()(images())
    found = quotients(model().parts.head.chosen_loss()(raw, TARGETS, model().context()))
    for name, head in heads().items():
        own = {key.split("/")[1]: v for key, v in TARGETS.items() if key.startswith(name)}
        context = vg.types.HeadContext(head, SIZE, model().context().levels)
        alone = quotients(head.loss(raw[name], own, context))
        factor = {"cells": 1, "kinds": 0.5}[name]
        assert alone.keys() == {t.split("/")[1] for t in found if t.startswith(name)}
        for term, value in alone.items():
            expected = factor * number(value)
            assert number(found[f"{name}/{term}"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow_backends
@pytest.mark.parametrize("missing", ["cells", "kinds"])
def test_a_head_without_targets_adds_exactly_0(missing):
    raw = model()(images())
    targets = {key: v for key, v in TARGETS.items() if not key.startswith(missing)}
    loss, context = model().parts.head.chosen_loss(), model().context()
    found, full = (quotients(loss(raw, given, context)) for given in (targets, TARGETS))
    assert found.keys() == full.keys() == set(loss.terms)
    for term, value in found.items():
        expected = 0.0 if term.startswith(missing) else number(full[term])
        assert number(value) == expected


@pytest.mark.parametrize(
    "load",
    [vg.load, pytest.param(keras.saving.load_model, marks=pytest.mark.slow)],
    ids=["vg", "keras"],
)
def test_a_file_reopens_with_the_same_predictions(tmp_path, load):
    model().save(tmp_path / "model.keras")
    again = load(tmp_path / "model.keras")
    assert again.parts == model().parts
    raw = [ops.convert_to_numpy(x) for x in keras.tree.flatten(model()(images()))]
    for one, two in zip(raw, keras.tree.flatten(again(images())), strict=True):
        np.testing.assert_array_equal(one, ops.convert_to_numpy(two))
    (found,) = again.infer(images()[0], score=0.0)
    assert list(found) == ["cells", "kinds"]
    assert found["kinds"].class_map.names == found["cells"].class_map.names == NAMES
    json.dumps(found.to_dict())
    with pytest.raises(UserError, match="did you mean kinds"):
        found["kind"]


def test_fused_is_equal_up_to_rounding():
    raw = keras.tree.flatten(model()(images()))
    for one, two in zip(raw, keras.tree.flatten(model().fused()(images())), strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(one), ops.convert_to_numpy(two), atol=2e-4, rtol=1e-3
        )


@pytest.mark.slow
def test_metrics_are_those_of_each_head():
    batches = [(images(), TARGETS)]
    found = vg.evaluate(model(), batches)
    for name, single in {
        "cells": vg.Detector(
            model().parts.backbone, model().parts.decoder, heads()["cells"], SIZE, NAMES
        ),
        "kinds": vg.Classifier(
            model().parts.backbone, heads()["kinds"], model().parts.decoder, SIZE, NAMES
        ),
    }.items():
        values = {w.path.replace(f"head/{name}/", "head/"): w.value for w in model().weights}
        for weight in single.weights:
            weight.assign(values[weight.path])
        own = {key.split("/")[1]: v for key, v in TARGETS.items() if key.startswith(name)}
        alone = vg.evaluate(single, [(images(), own)])
        for metric, value in alone.metrics.items():
            assert found[f"{name}/{metric}"] == pytest.approx(value, nan_ok=True)
        for row, values in alone.per_class.items():
            assert found.per_class[f"{name}/{row}"] == pytest.approx(values, nan_ok=True)
    assert "cells/a" in str(found)
    assert "kinds/a" in found._repr_html_()


@pytest.mark.slow
def test_every_output_is_exported(tmp_path):
    result = vg.export(model(), tmp_path / "model.onnx")
    assert result.parity.agrees
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    names = [output.name for output in session.get_outputs()]
    assert sorted(names) == ["cells/boxes", "cells/scores", "kinds/scores"]


@pytest.mark.slow
def test_training_learns_every_head(tmp_path):
    trained = build()
    before = {w.path: ops.convert_to_numpy(w) for w in trained.trainable_variables}
    settings = vg.training.Training(
        epochs=2, optimizer={"learning_rate": {"peak": 0.002, "warmup_epochs": 0}}
    )
    batches = [(images(), TARGETS)] * 2
    history = vg.training.fit(trained, batches, tmp_path, settings, validate=batches)
    assert {"cells/box", "cells/class", "cells/dfl", "kinds/class"} <= history[0].keys()
    assert {"cells/AP", "kinds/mAP"} <= history[0].keys()
    still = [w.path for w in trained.trainable_variables if np.array_equal(w, before[w.path])]
    assert not [path for path in still if "head/" in path]


@pytest.mark.slow
def test_check_proves_a_gradient_for_each_head():
    head = vg.heads.CombinedHeads(heads=heads())
    report = vg.check(head)
    assert report["loss"].status == "passed", report
    assert "cells/box" in report["loss"].evidence
    assert "kinds/class" in report["loss"].evidence


def test_the_task_of_each_head():
    task = task_of(model())
    assert task.needs == ("boxes", "labels")
    assert task.outputs == ("cells/boxes", "cells/scores", "kinds/scores")
    assert task.metric_names[:2] == ("cells/AP", "cells/AP50")
    assert {type(t).__name__ for t in task.transforms()} == {"Affine", "HorizontalFlip", "HSV"}


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"loss_weights": {"kind": 1}}, ConfigError, "did you mean kinds"),
        ({"loss_weights": {"kinds": -1}}, ConfigError, "loss_weights"),
        ({"heads": {}}, ConfigError, "heads"),
        ({"heads": {"a/b": heads()["kinds"]}}, ConfigError, "heads"),
        ({"heads": {"more": heads()["kinds"].replace(levels=("p7",))}}, ContractError, "more"),
        ({"class_map": ("a", "b")}, ContractError, "num_classes"),
        ({"heads": {"all": vg.heads.CombinedHeads(heads=heads())}}, ConfigError, "one task each"),
    ],
)  # fmt: skip
def test_invalid_heads(fields, error, text):
    with pytest.raises(error, match=text):
        build(**fields)


def test_a_head_that_takes_targets_is_refused():
    """Its targets would never reach it."""

    class Sampling(vg.heads.AnchorFree):
        target_inputs: ClassVar[tuple[str, ...]] = ("boxes",)

    with pytest.raises(ConfigError, match="takes targets in the forward pass"):
        vg.heads.CombinedHeads(heads={"regions": Sampling(num_classes=3)})


def test_each_head_sees_its_own_levels():
    context = model().context()
    assert list(context.of_head("kinds").levels) == ["p5"]
    assert list(context.of_head("cells").levels) == ["p3", "p4", "p5"]


def recipe_of(**fields):
    model_fields = {
        "backbone": {"type": "CSPDarknet", "width": 0.125},
        "decoder": {"type": "FPN", "channels": 8},
        "heads": {name: head.to_dict() for name, head in heads().items()},
        "image_size": 64,
    }
    return {
        "model": model_fields | fields.pop("model", {}),
        "data": {"path": "cells"},
        "evaluation": {"monitor": "cells/AP"},
        **fields,
    }


def test_a_recipe_has_several_heads(tmp_path):
    recipe = recipes.resolve(recipe_of(), overrides=["model.loss_weights.kinds=0.2"])
    written = recipe.to_dict()
    assert "head" not in written["model"]
    assert written["model"]["loss_weights"] == {"kinds": 0.2}
    assert recipes.resolve(written) == recipe
    assert isinstance(recipe.build(), vg.MultiHead)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"evaluation": {}}, "evaluation.monitor=cells/AP"),
        ({"model": {"head": {"type": "AnchorFree", "num_classes": 3}}}, "both head and heads"),
        ({"model": {"loss_weights": {"kind": 1.0}}}, "did you mean kinds"),
    ],
)
def test_invalid_recipes(fields, text):
    with pytest.raises(ConfigError, match=text):
        recipes.resolve(recipe_of(**fields))


@pytest.mark.slow
@pytest.mark.skipif(not BCCD.is_dir(), reason="needs shared/data/bccd")
def test_the_example_trains_and_resumes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import blood_cells  # noqa: F401  registers the reader

    changes = [
        f"data.path={BCCD}",
        "training.epochs=1",
        "training.batch_size=16",
        "model.image_size=96",
        "model.backbone.width=0.125",
    ]
    result = vg.train(EXAMPLES / "blood_cells.yaml", *changes, output=tmp_path / "run")
    assert {"cells/AP", "kinds/mAP"} <= result.history[-1].keys()
    assert vg.load(tmp_path / "run" / "best.keras").class_map.names == ("Platelets", "RBC", "WBC")
    del sys.modules["blood_cells"]
