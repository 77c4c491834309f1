"""Backbones of keras-hub: with a stand-in for the library, and with the library where installed."""

from __future__ import annotations

import sys
import types

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backbones.keras_hub_backbone import preprocessing_of
from visiongarden.errors import UserError

KerasHubBackbone = vg.backbones.KerasHubBackbone
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Network(keras.Model):
    """A functional model whose config is that of its constructor, as keras-hub's are."""

    def __init__(self, filters, **kwargs):
        x = image = keras.Input((None, None, 3))
        for number in range(3):
            x = keras.layers.Conv2D(filters, 3, 2, "same", name=f"conv{number}")(x)
        super().__init__(image, x, **kwargs)
        self.filters = filters

    def get_config(self):
        return {"filters": self.filters, "name": self.name}


@pytest.fixture
def library(monkeypatch):
    """The parts of keras-hub that are used."""
    loaded = []

    def backbone(preset, load_weights=True):
        if preset != "tiny":
            raise ValueError(f"unknown preset {preset}")
        loaded.append(load_weights)
        return Network(4)

    converter = types.SimpleNamespace(
        scale=(1 / (255 * STD)).tolist(), offset=(-MEAN / STD).tolist()
    )
    module = types.ModuleType("keras_hub")
    of = lambda function: types.SimpleNamespace(from_preset=function)  # noqa: E731
    module.models = types.SimpleNamespace(Backbone=of(backbone))
    module.layers = types.SimpleNamespace(ImageConverter=of(lambda preset: converter))
    module.loaded = loaded
    monkeypatch.setitem(sys.modules, "keras_hub", module)
    return module


def classifier(backbone):
    return vg.Classifier(
        backbone, vg.heads.Classification(num_classes=2, levels=("p3",)), image_size=32
    )


def test_a_preset_with_its_weights(library, tmp_path, monkeypatch):
    backbone = KerasHubBackbone("tiny", levels=("p2", "p3"))
    assert str(backbone.spec()) == "FeatureSpec(p2: 4 ch /4, p3: 4 ch /8)"
    assert backbone.is_pretrained
    model = classifier(backbone)
    assert model.preprocessing == vg.Preprocessing(mean=tuple(MEAN), std=tuple(STD))
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    prepared = ((image / 255 - MEAN) / STD).astype(np.float32)
    network = keras.Model(backbone.source().inputs[0], backbone.source().outputs)
    expected = keras.ops.convert_to_numpy(network(prepared)[1])
    found = model.features(image)["backbone"]["p3"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)
    model.save(tmp_path / "m.keras")
    # The file contains the network, and opens without keras-hub.
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    again = vg.load(tmp_path / "m.keras")
    assert again.parts.backbone == backbone
    assert again.parts.backbone.preset == "tiny"
    assert np.array_equal(again.get_weights()[0], model.get_weights()[0])


def test_a_preset_in_a_recipe_without_weights(library):
    backbone = vg.parts.Backbone.from_dict({"type": "KerasHubBackbone", "preset": "tiny"})
    assert isinstance(backbone, KerasHubBackbone)
    other = KerasHubBackbone("tiny", load_weights=False)
    assert library.loaded == [True, False]
    assert (backbone.is_pretrained, other.is_pretrained) == (True, False)


def test_an_unknown_preset(library):
    with pytest.raises(UserError, match="'huge' of keras-hub cannot be loaded") as error:
        KerasHubBackbone("huge")
    assert "unknown preset huge" in error.value.received


def test_the_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match="keras-hub is not installed") as error:
        KerasHubBackbone("resnet_50_imagenet")
    assert error.value.fix == "pip install keras-hub"


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 255, None, vg.Preprocessing()),
        (1 / 127.5, -1.0, vg.Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)),
        (None, None, None),
    ],
)
def test_preprocessing_of_a_converter(scale, offset, expected):
    found = preprocessing_of(types.SimpleNamespace(scale=scale, offset=offset))
    assert (None if found is None else found.replace(scale=1 / 255)) == expected
    if expected is not None:
        assert found.scale == pytest.approx(1 / 255)


@pytest.mark.slow
def test_the_library_itself(tmp_path):
    hub = pytest.importorskip("keras_hub")
    network = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    network.save_to_preset(str(tmp_path / "preset"))
    backbone = KerasHubBackbone(str(tmp_path / "preset"))
    assert list(backbone.layers.values()) == [f"stack{n}_block0_out" for n in (1, 2, 3)]
    x = np.random.default_rng(0).random((1, 64, 96, 3), np.float32)
    found = backbone.as_model(image_size=(64, 96))(x)["p5"]
    expected = network(x)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected)), atol=1e-5)
    model = vg.Classifier(backbone, vg.heads.Classification(num_classes=2), image_size=(64, 96))
    model.save(tmp_path / "m.keras")
    assert np.array_equal(vg.load(tmp_path / "m.keras").get_weights()[0], model.get_weights()[0])
