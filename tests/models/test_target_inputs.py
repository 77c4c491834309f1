"""A head that takes targets in the forward pass: a small two-stage detector."""

from __future__ import annotations

import functools
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.types import Term

SIZE, PROPOSALS = (64, 64), 8
BOXES = np.array([[[4, 4, 40, 40], [0, 0, 0, 0]], [[10, 10, 30, 50], [30, 20, 60, 44]]], "float32")
CLASSES = np.array([[0, -1], [2, 1]], "int32")
TARGETS = {"boxes": BOXES, "classes": CLASSES}


@vg.register(package="two_stage")
class Propose(keras.layers.Layer):
    """The cells with the highest objectness as boxes; in training the true boxes as well."""

    def __init__(self, count, stride, **kwargs):
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.count, self.stride = count, stride

    def call(self, objectness, boxes=None, training=False):
        height, width = objectness.shape[1:3]
        flat = ops.reshape(ops.cast(objectness, "float32"), (-1, height * width))
        _, cells = ops.top_k(flat, self.count)
        x, y = cells % width, cells // width
        corners = ops.cast(ops.stack([x, y, x + 1, y + 1], axis=-1), "float32") * self.stride
        if training and boxes is not None:
            corners = ops.concatenate([corners, ops.cast(boxes, "float32")], axis=1)
        return ops.stop_gradient(corners)

    def compute_output_spec(self, objectness, boxes=None, training=False):
        return keras.KerasTensor((objectness.shape[0], self.count, 4), "float32")

    def get_config(self):
        return super().get_config() | {"count": self.count, "stride": self.stride}


@vg.register(package="two_stage")
class CellOfBox(keras.layers.Layer):
    """The features of the cell that contains the center of each box."""

    def __init__(self, stride, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, features, boxes):
        height, width, channels = features.shape[1:]
        x = ops.clip((boxes[..., 0] + boxes[..., 2]) / 2 / self.stride, 0, width - 1)
        y = ops.clip((boxes[..., 1] + boxes[..., 3]) / 2 / self.stride, 0, height - 1)
        cells = ops.cast(ops.floor(y), "int32") * width + ops.cast(ops.floor(x), "int32")
        flat = ops.reshape(features, (-1, height * width, channels))
        return ops.take_along_axis(flat, cells[..., None], axis=1)

    def compute_output_spec(self, features, boxes):
        shape = (features.shape[0], boxes.shape[1], features.shape[-1])
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"stride": self.stride}


@vg.register(package="two_stage")
class RegionLoss(vg.losses.Loss):
    """Objectness of cells that contain a center, and the class of each region."""

    terms = ("objectness", "class")
    targets = ("boxes", "classes")

    def __call__(self, raw, targets, context):
        (level,) = raw.values()
        known = ops.cast(targets["classes"] >= 0, "float32")
        regions, logits = level["regions"], ops.cast(level["classes"], "float32")
        inside = vg.ops.pairwise_iou(regions, targets["boxes"]) * known[:, None]
        best = ops.argmax(inside, axis=-1)
        hit = ops.cast(ops.max(inside, axis=-1) > 0.5, "float32")
        classes = ops.take_along_axis(ops.maximum(targets["classes"], 0), best, axis=1)
        wrong = keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True)
        objectness = ops.cast(level["objectness"], "float32")
        total = ops.sum(ops.square(ops.sigmoid(objectness) - 0.1))
        cells = ops.cast(ops.size(objectness), "float32")
        return {"objectness": Term(total, cells), "class": Term(ops.sum(wrong * hit), ops.sum(hit))}


@vg.register(package="two_stage")
class RegionDecoding(vg.postprocess.Decoding):
    outputs = ("boxes", "scores")

    def __call__(self, raw, context):
        (level,) = raw.values()
        return {"boxes": level["regions"], "scores": ops.softmax(level["classes"], axis=-1)}


@vg.register(package="two_stage")
class TwoStage(vg.Head):
    target_inputs: ClassVar[tuple[str, ...]] = ("boxes",)
    num_classes: int
    loss: vg.losses.Loss = RegionLoss()
    decoding: vg.postprocess.Decoding = RegionDecoding()

    def wire(self, features, targets):
        (x,) = features.values()
        objectness = keras.layers.Conv2D(1, 1, name="objectness")(x)
        regions = Propose(PROPOSALS, 8, name="propose")(objectness, targets["boxes"])
        cells = CellOfBox(8, name="cells")(x, regions)
        classes = keras.layers.Dense(self.num_classes, name="classes")(cells)
        return {"p3": {"objectness": objectness, "regions": regions, "classes": classes}}


def build(**fields):
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(width=0.125, levels=("p3",)),
        decoder=vg.decoders.PassOn(levels=("p3",)),
        head=TwoStage(num_classes=3),
        image_size=SIZE,
        class_map=("a", "b", "c"),
        **fields,
    )


@functools.cache
def images():
    return np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3)).astype(np.uint8)


def shapes(raw):
    return {name: tuple(tensor.shape) for name, tensor in raw["p3"].items()}


@pytest.mark.slow_backends
def test_targets_are_in_the_forward_pass_of_training_alone():
    model = build()
    alone = model(images(), training=False)
    assert shapes(alone)["regions"] == (2, PROPOSALS, 4)
    given = {"images": images(), "target_boxes": BOXES}
    raw = model(given, training=True)
    assert shapes(raw)["regions"] == (2, PROPOSALS + 2, 4)
    np.testing.assert_array_equal(ops.convert_to_numpy(raw["p3"]["regions"])[:, PROPOSALS:], BOXES)
    # In evaluation the targets have no effect, even if they are there.
    assert shapes(model(given, training=False))["regions"] == (2, PROPOSALS, 4)
    assert shapes(model.predict(images(), verbose=0))["classes"] == (2, PROPOSALS, 3)


@pytest.mark.slow
@pytest.mark.backends
def test_fit_gives_the_targets_to_the_head(tmp_path):
    model = build()
    seen = []

    class Recorded(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(sorted(logs))

    model.compile(keras.optimizers.Adam(0.01), jit_compile=keras.backend.backend() == "jax")
    before = ops.convert_to_numpy(model.get_layer("head").get_layer("classes").kernel)
    model.fit(images(), TARGETS, epochs=2, verbose=0, callbacks=[Recorded()],
              validation_data=(images(), TARGETS))  # fmt: skip
    # Untrained proposals are cells of 8 pixels, too small for any box: the class term has a
    # gradient only if the true boxes are among the regions.
    after = ops.convert_to_numpy(model.get_layer("head").get_layer("classes").kernel)
    assert not np.array_equal(before, after)
    assert {"class", "loss", "objectness", "val_AP", "val_loss"} <= set(seen[0])
    model.save(tmp_path / "model.keras")
    for load in (vg.load, keras.saving.load_model):
        again = load(tmp_path / "model.keras")
        for name, tensor in model(images(), training=False)["p3"].items():
            np.testing.assert_array_equal(
                ops.convert_to_numpy(tensor),
                ops.convert_to_numpy(again(images(), training=False)["p3"][name]),
            )


@pytest.mark.slow
@pytest.mark.slow_backends
def test_a_run_trains_evaluates_and_predicts(tmp_path):
    model = build()
    settings = vg.training.Training(epochs=2, optimizer={"learning_rate": {"warmup_epochs": 0}})
    batches = [(images(), TARGETS)] * 2
    history = vg.training.fit(model, batches, tmp_path, settings, validate=batches)
    assert history[0]["class"] > 0
    assert "AP" in history[0]
    (found,) = model.detect(images()[0], score=0.0)
    assert len(found)


def test_half_precision_keeps_the_coordinates_of_targets():
    model = build(dtype="mixed_bfloat16")
    exact = BOXES + np.float32(0.125) + 256  # bfloat16 has 8 bits
    raw = model({"images": images(), "target_boxes": exact}, training=True)
    found = ops.convert_to_numpy(raw["p3"]["regions"])[:, PROPOSALS:]
    np.testing.assert_array_equal(found.astype(np.float32), exact)


@pytest.mark.slow
def test_the_exported_file_takes_images_alone(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = build()
    rng = np.random.default_rng(0)
    for weight in model.head.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    assert vg.export(model, tmp_path / "model.onnx").parity.agrees
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [each.name for each in session.get_inputs()] == ["images"]
    assert sorted(each.name for each in session.get_outputs()) == ["boxes", "scores"]


def test_a_symbolic_call_makes_a_model_of_the_images():
    model = build()
    inputs = keras.Input((*SIZE, 3))
    again = keras.Model(inputs, model(inputs))
    for name, tensor in model(images(), training=False)["p3"].items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(tensor), ops.convert_to_numpy(again(images())["p3"][name])
        )
    assert model.features(keras.Input((*SIZE, 3)))["decoder"]["p3"].shape == (None, 8, 8, 32)


def test_missing_and_unknown_targets():
    model = build()
    model.compile("adam", jit_compile=False)
    with pytest.raises(UserError, match="no 'boxes', which the head takes"):
        model.fit(images(), {"classes": CLASSES}, verbose=0)

    class Unknown(TwoStage):
        target_inputs: ClassVar[tuple[str, ...]] = ("boxs",)

    with pytest.raises(UserError, match="did you mean boxes"):
        Unknown(num_classes=3).as_model(vg.types.FeatureSpec({"p3": vg.types.LevelSpec(8, 8)}))
