"""A fused model computes the same as the model that it comes from, and reopens."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.inspect import deployed

SIZE = (64, 96)
MODELS = {
    "csp": lambda: vg.Detector(
        vg.backbones.CSPDarknet(width=0.125),
        vg.decoders.PathAggregation(),
        vg.heads.AnchorFree(num_classes=2, bins=8),
        SIZE,
    ),
    "branches that fold": lambda: vg.cards.build("yolov7", num_classes=2, image_size=SIZE),
    "no nms": lambda: vg.cards.build("yolov10n", num_classes=2, image_size=SIZE),
    "depthwise": lambda: vg.cards.build("yolox-nano", num_classes=2, image_size=SIZE),
    "atrous": lambda: vg.Segmenter(
        vg.backbones.ResNet(depth=18, levels=("p2", "p4")),
        vg.decoders.DeepLabV3Plus(channels=8, detail_channels=4, rates=(2, 3)),
        vg.heads.Segmentation(num_classes=3),
        image_size=SIZE,
    ),
    "classifier": lambda: vg.Classifier(
        vg.backbones.ResNet(depth=18, levels=("p5",)),
        vg.heads.Classification(num_classes=3),
        image_size=SIZE,
    ),
}
LARGE = ("branches that fold", "depthwise", "no nms", "classifier", "atrous")
ROWS = [
    pytest.param(
        name,
        marks=[pytest.mark.slow] * (name in LARGE)
        + [pytest.mark.backends] * (name in ("csp", "atrous")),
    )
    for name in MODELS
]


def numbers(model, images):
    """Boxes and scores, or class scores."""
    raw = model(images, training=False)
    return [
        keras.ops.convert_to_numpy(x)
        for x in keras.tree.flatten(model.parts.head.decoding(raw, model.context(SIZE)))
    ]


@pytest.mark.slow_backends("torch")
@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_the_outputs_are_the_same(name, tmp_path):
    model, rng = MODELS[name](), np.random.default_rng(0)
    for weight in model.weights:
        low = 0.8 if "variance" in weight.path or "gamma" in weight.path else -0.1
        if "kernel" not in weight.path:
            weight.assign(rng.uniform(low, low + 0.3, weight.shape))
    images = rng.uniform(size=(2, *SIZE, 3)).astype(np.float32)
    fused = model.fused()
    for found, wanted in zip(numbers(fused, images), numbers(model, images), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * max(1, wanted.max()))
    assert not [w.path for w in fused.weights if "norm" in w.path]
    assert fused.count_params() == deployed(model).total
    fused.save(tmp_path / "fused.keras")
    again = vg.load(tmp_path / "fused.keras")
    for found, wanted in zip(numbers(again, images), numbers(fused, images), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(UserError, match="already fused"):
        again.fused()


def test_a_layer_without_fold_is_named():
    @vg.register(package="test_fused")
    class Halting(vg.layers.Composite):
        def __init__(self, folded=False, **kwargs):
            super().__init__(**kwargs)
            folded = self.record_argument("folded", folded or vg.layers.is_folding())
            self.conv = keras.layers.Conv2D(3, 2, strides=2, use_bias=folded)

        def call(self, x):
            return self.conv(x)

    @vg.register(package="test_fused")
    class Stem(vg.Backbone):
        levels: tuple[str, ...] = ("p1",)

        def wire(self, images):
            return {"p1": Halting(name="stem")(images)}

    model = vg.Classifier(Stem(), vg.heads.Classification(num_classes=2), image_size=SIZE)
    with pytest.raises(UserError, match="backbone/stem/conv/bias has no counterpart"):
        model.fused()
