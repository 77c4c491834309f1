"""Classifier and Segmenter: joined, checked, saved and reopened as Detector is."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ContractError, UserError
from visiongarden.inspect import count, show

LEVELS = ("p2", "p3", "p4", "p5")
DECODERS = [
    vg.decoders.SemanticFPN(channels=8, pyramid_channels=8),
    vg.decoders.UNet(channels=4, max_channels=16),
    vg.decoders.DeepLabV3Plus(channels=8, detail_channels=4, levels=LEVELS),
]


def backbone(levels=LEVELS):
    return vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=levels)


def classifier(**kwargs):
    return vg.Classifier(backbone(("p5",)), vg.heads.Classification(num_classes=3), **kwargs)


def segmenter(decoder=DECODERS[0], **kwargs):
    return vg.Segmenter(backbone(), decoder, vg.heads.Segmentation(num_classes=4), **kwargs)


def predicted(model):
    images = np.random.default_rng(0).random((2, 64, 96, 3), dtype=np.float32)
    ((level, raw),) = model(images).items()
    return level, keras.ops.convert_to_numpy(raw["classes"])


@pytest.mark.backends
def test_a_classifier_reopens_bit_exactly(tmp_path):
    model = classifier(class_map=("a", "b", "c"))
    level, before = predicted(model)
    assert (level, before.shape) == ("p5", (2, 3))
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    assert isinstance(again, vg.Classifier)
    assert again.parts == model.parts
    assert again.class_map.names == ("a", "b", "c")
    np.testing.assert_array_equal(before, predicted(again)[1])


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    "decoder",
    [pytest.param(each, id=type(each).__name__, marks=pytest.mark.slow) for each in DECODERS],
)
def test_a_segmenter_reopens_bit_exactly(tmp_path, decoder):
    model = segmenter(decoder)
    level, before = predicted(model)
    assert (level, before.shape) == ("p2", (2, 64, 96, 4))
    assert np.isfinite(before).all()
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(before, predicted(vg.load(tmp_path / "m.keras"))[1])


@pytest.mark.parametrize(
    ("model", "head", "fix"),
    [
        (vg.Detector, vg.heads.Classification(num_classes=3), "Classifier(backbone="),
        (vg.Classifier, vg.heads.Segmentation(num_classes=3), "Segmenter(backbone="),
        (vg.Segmenter, vg.heads.AnchorFree(num_classes=3), "Detector(backbone="),
    ],
)
def test_a_head_of_another_task_is_rejected(model, head, fix):
    with pytest.raises(ContractError) as error:
        model(backbone=backbone(), decoder=vg.decoders.FPN(levels=LEVELS), head=head)
    assert fix in error.value.fix


def test_the_fix_works_when_pasted():
    with pytest.raises(ContractError) as error:
        vg.Detector(backbone(), DECODERS[0], vg.heads.Segmentation(num_classes=3))
    names = {**vars(vg.backbones), **vars(vg.decoders), **vars(vg.heads)}
    names |= {"Segmenter": vg.Segmenter}
    assert isinstance(eval(error.value.fix, names), vg.Segmenter)  # noqa: S307


def test_parts_that_do_not_fit():
    with pytest.raises(ContractError, match=r"expects levels +p2 p3 p4 p5"):
        vg.Segmenter(backbone(("p3", "p4")), DECODERS[0], vg.heads.Segmentation(num_classes=2))
    with pytest.raises(ContractError, match=r"Classification\(num_classes=2\)"):
        classifier(class_map=("cat", "dog"))
    with pytest.raises(UserError, match="multiples of the largest stride"):
        classifier(image_size=50)
    with pytest.raises(UserError, match="num_classes"):
        vg.heads.Segmentation(num_classes=1)


def test_the_coarsest_map_is_the_default():
    model = vg.Classifier(backbone(), vg.heads.Classification(num_classes=2))
    assert model.parts.decoder == vg.decoders.PassOn(levels=("p5",))


@pytest.mark.parametrize("model", [classifier, segmenter])
def test_figure_and_count(model):
    built = model(image_size=64)
    assert count(built).trainable == sum(int(np.prod(w.shape)) for w in built.trainable_weights)
    assert "head" in str(show(built))
    assert count(built, 128).macs > 3 * count(built, 64).macs


def test_parts_in_the_wrong_places_are_named():
    with pytest.raises(UserError, match=r"PassOn.* as its head.*[\s\S]*name the arguments"):
        vg.Classifier(
            vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
            vg.decoders.PassOn(levels=("p5",)),
            vg.heads.Classification(num_classes=3),
            image_size=64,
        )
