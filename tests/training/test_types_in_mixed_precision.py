"""What a training step in mixed bfloat16 computes in float32: the table of docs/train.md."""

import functools

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.assigners import TaskAligned
from visiongarden.evaluation.decoding import decoding_of
from visiongarden.layers import BatchNorm, ConvNormAct, Preprocess
from visiongarden.losses import AnchorFreeLoss
from visiongarden.models import Detector
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.training import Training
from visiongarden.training.averaging import AveragingOptimizer
from visiongarden.training.building import make_optimizer

FLOATS = {"float16", "bfloat16", "float32", "float64"}


def types(tree):
    """Return the dtypes of all floating-point tensors in a tree."""
    tensors = [leaf for leaf in keras.tree.flatten(tree) if hasattr(leaf, "dtype")]
    return {keras.backend.standardize_dtype(leaf.dtype) for leaf in tensors} & FLOATS


@pytest.fixture
def seen(monkeypatch):
    """The dtypes of what some functions return, and of what some are given, by name."""
    found = {}

    def watch(kind, method, returned="", given=""):
        original = getattr(kind, method)

        @functools.wraps(original)
        def watched(self, *args, **kwargs):
            result = original(self, *args, **kwargs)
            for name, tree in ((returned, result), (given, (args, kwargs))):
                if name:
                    found.setdefault(name, set()).update(types(tree))
            return result

        monkeypatch.setattr(kind, method, watched)

    watch(ConvNormAct, "call", "feature maps", "inputs of layers")
    watch(BatchNorm, "call", "outputs of norms")
    watch(Preprocess, "call", "preprocessed")
    watch(AnchorFreeLoss, "candidates", "decoded for the assigner")
    watch(TaskAligned, "__call__", "assignment", "inputs of the assigner")
    watch(AnchorFreeLoss, "assigned_terms", "terms")
    watch(Detector, "compute_loss", "loss")
    watch(AveragingOptimizer, "apply", given="gradients")
    watch(AveragingOptimizer, "stateless_apply", given="gradients")  # on JAX
    return found


def detector():
    model = vg.Detector(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p4", "p5")),
        vg.decoders.FPN(channels=8, levels=("p4", "p5")),
        vg.heads.AnchorFree(num_classes=2),
        image_size=32,
        dtype="mixed_bfloat16",
    )
    model.compile(make_optimizer(Training(), 10))
    return model


@pytest.mark.slow
@pytest.mark.backends
def test_the_types_of_a_training_step(seen):
    model, random = detector(), np.random.default_rng(0)
    seen.clear()  # building the model calls its layers, too
    images = random.integers(0, 255, (2, 32, 32, 3)).astype(np.uint8)
    boxes = np.array([[[2, 3, 20, 25]], [[8, 8, 30, 30]]], np.float32)
    targets = {"boxes": boxes, "classes": np.array([[0], [1]], np.int32)}
    logs = model.train_on_batch(images, targets, return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    half, single = {"bfloat16"}, {"float32"}
    # The first layer is given what preprocessing returns, and casts it.
    assert seen.pop("inputs of layers") - single == half
    assert seen == {
        "feature maps": half,
        "outputs of norms": half,
        "preprocessed": single,
        "decoded for the assigner": single,
        "inputs of the assigner": single,
        "assignment": single,
        "terms": single,
        "loss": single,
        "gradients": single,
    }
    assert types([w.value for w in model.weights]) == single
    assert types([v.value for v in model.optimizer.variables]) == single
    assert types([v.value for v in model.metrics_variables]) == single
    names = {v.name for v in model.optimizer.variables} | {w.name for w in model.weights}
    assert {"average", "moving_mean", "moving_variance"} <= names


@pytest.mark.backends
def test_the_types_of_predictions():
    model = detector()
    images = np.zeros((1, 32, 32, 3), np.uint8)
    raw = model(images)
    decoded = decoding_of(model)(raw, (32, 32))
    assert types(decoded) == {"float32"}


@pytest.mark.backends
def test_the_types_of_metrics():
    # A threshold of 0 keeps objects of the untrained model.
    found = next(iter(vg.predict(detector(), [np.zeros((32, 32, 3), np.uint8)], score=0.0)))
    assert len(found) > 0
    assert types([found.boxes, found.scores]) == {"float32"}


@pytest.mark.parametrize(("height", "matched"), [(2045.5, 1.0), (2045.5 - 2**-13, 0.0)])
def test_metrics_compute_in_float64(height, matched):
    """The smaller IoU is just below the threshold of 0.5, to which float32 would round it."""
    size, kind = (4091, 4111), np.zeros(1, np.int32)
    whole, part = (Boxes(np.array([[0, 0, 4111, side]], np.float32)) for side in (4091, height))
    sample = Sample(ImageInfo(0, None, size), instances=Instances(size, whole, kind))
    metric = vg.metrics.CocoMeanAveragePrecision(vg.ClassMap(["a"]))
    metric.update_state([sample], [Instances(size, part, kind, scores=np.ones(1))])
    assert metric.result()["AP50"] == matched
    areas = np.float32(4111) * np.array([height, 4091], np.float32)
    assert areas[0] / areas[1] == 0.5
