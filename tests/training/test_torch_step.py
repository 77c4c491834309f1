"""The captured step of PyTorch equals the eager step bit for bit."""

from functools import partial

import keras
import numpy as np
import pytest
from tests.training.test_host_transfers import TASKS, example

import visiongarden as vg
from visiongarden.backends import captured
from visiongarden.ops import overlap
from visiongarden.tasks import task_of
from visiongarden.training import Training
from visiongarden.training.building import make_optimizer
from visiongarden.training.running import trained_with

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="only PyTorch captures steps"),
]


def detector(head):
    return vg.Detector(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p3", "p4", "p5")),
        vg.decoders.FPN(channels=8),
        head(num_classes=3),
        image_size=64,
    )


def mask_rcnn(num_classes, **fields):
    """Return a head that samples anchors and regions at random, and fewer than there are."""
    return vg.heads.MaskRCNN(
        num_classes=num_classes, filters=8, anchor_size=2, proposals_per_level=40, proposals=30,
        regions=16, box_units=8, box_size=3, mask_size=3, mask_convs=1, detections=5,
        loss={"anchors_per_image": 16}, **fields,
    )  # fmt: skip


def classifier():
    return vg.Classifier(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=3, dropout=0.0),
        image_size=64,
    )


def segmenter():
    return vg.Segmenter(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p3", "p4", "p5")),
        vg.decoders.FPN(channels=8),
        vg.heads.Segmentation(num_classes=3, dropout=0.0),
        image_size=64,
    )


def targets(model, random):
    if isinstance(model, vg.Classifier):
        return {"labels": np.eye(3, dtype=np.float32)[random.integers(0, 3, 2)]}
    if isinstance(model, vg.Segmenter):
        return {"semantic": random.integers(0, 3, (2, 64, 64)).astype(np.int32)}
    low = random.uniform(0, 40, (2, 5, 2))
    boxes = np.concatenate([low, low + random.uniform(8, 20, (2, 5, 2))], -1)
    classes = random.integers(-1, 3, (2, 5))
    found = {"boxes": boxes.astype(np.float32), "classes": classes.astype(np.int32)}
    if task_of(model).name == "instance_segmentation":
        found["masks"] = random.integers(0, 2, (2, 5, 16, 16)).astype(np.uint8)
    return found


def trained(make, after, monkeypatch, steps=5):
    """Weights and logs after some steps, and how many shapes were captured."""
    monkeypatch.setattr(captured, "AFTER", after)
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(make_optimizer(Training(), 10))
    random = np.random.default_rng(0)
    logs = []
    for _ in range(steps):
        images = random.integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
        logs.append(model.train_on_batch(images, targets(model, random), return_dict=True))
    return model.get_weights(), logs, vars(model)["_torch_step"]._step.captured


def assert_equal(eager, graph):
    """Compare weights and logs of an eager and a captured run."""
    (plain, plain_logs, never), (weights, logs, count) = eager, graph
    assert (never, count) == (0, 1)
    # A GPU sums some gradients in a different order each time.
    close = 1e-3 if torch.cuda.is_available() else 0.0
    for one, other in zip(plain_logs, logs, strict=True):
        assert one == pytest.approx(other, rel=close, abs=0)
    for one, other in zip(plain, weights, strict=True):
        np.testing.assert_allclose(one, other, close, close)


MAKERS = {
    "AnchorFree": lambda: detector(vg.heads.AnchorFree),
    "AnchorBased": lambda: detector(vg.heads.AnchorBased),
    "Decoupled": lambda: detector(vg.heads.Decoupled),
    "MaskRCNN": lambda: detector(mask_rcnn),
    "cascade": lambda: detector(partial(mask_rcnn, cascade=(0.4, 0.5))),
    "classifier": classifier,
    "segmenter": segmenter,
}

SLOW = ("Decoupled", "MaskRCNN", "cascade")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MAKERS]
)
def test_a_captured_step_equals_the_eager_step(monkeypatch, name):
    assert_equal(*(trained(MAKERS[name], after, monkeypatch) for after in (1000, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_default_model_of_each_task(monkeypatch, name):
    def run(after):
        monkeypatch.setattr(captured, "AFTER", after)
        keras.utils.set_random_seed(0)
        model, pixels, targets = example(name)
        steps = [np.roll(pixels, shift, axis=2) for shift in range(6)]
        logs = [model.train_on_batch(each, targets, return_dict=True) for each in steps]
        return model.get_weights(), logs, vars(model)["_torch_step"]._step.captured

    assert_equal(run(1000), run(2))


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "siou", "ciou"])
def test_the_gradient_of_a_captured_overlap_is_the_eager_one(name):
    """PyTorch computes some gradients, as that of `prod`, by another formula during a capture."""
    from torch.fx.experimental.proxy_tensor import make_fx

    random = torch.Generator().manual_seed(0)
    low, side = (torch.rand((2, 4096, 2), generator=random) * 50 for _ in range(2))
    boxes = torch.cat([low, low + side], -1)

    def gradient(boxes):
        given = boxes.detach().requires_grad_()
        with torch.enable_grad():
            total = getattr(overlap, name)(given[0], given[1]).sum()
        return torch.autograd.grad(total, given)[0]

    assert torch.equal(make_fx(gradient)(boxes)(boxes), gradient(boxes))


def test_an_eager_run_is_not_captured(monkeypatch):
    monkeypatch.setattr(captured, "AFTER", 2)
    model, seen = classifier(), []

    class Counted(vg.losses.ClassificationLoss):
        def __call__(self, raw, targets, context):
            seen.append(raw)
            return super().__call__(raw, targets, context)

    random = np.random.default_rng(0)
    images = random.integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    with trained_with(model, Counted()):
        model.compile(make_optimizer(Training(), 10), run_eagerly=True)
        for _ in range(6):
            model.train_on_batch(images, targets(model, random))
    assert len(seen) == 6
