"""Weights files of Keras 2, written with h5py in the layouts of its versions."""

from __future__ import annotations

import h5py
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.weights.sources import open_source

SIZE = (32, 32)


def network(nested=False):
    layers = keras.layers
    x = image = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, 2, "same", name="Conv1", use_bias=False)(x)
    x = layers.BatchNormalization(name="bn_Conv1")(x)
    x = layers.DepthwiseConv2D(3, 2, "same", name="depth")(x)
    x = layers.SeparableConv2D(6, 3, 2, "same", name="separable")(x)
    inner = keras.Model(image, x, name="inner")
    outer = keras.Input((*SIZE, 3))
    x = inner(outer) if nested else x
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(5, name="predictions")(x)
    return keras.Model(outer if nested else image, x, name="net")


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.weights])
    return model


def legacy_names(layer):
    """Names that Keras 2 gives the weights of a layer: "Conv1/kernel:0"."""
    for weight in layer.weights:
        leaf = weight.name
        if isinstance(layer, keras.layers.DepthwiseConv2D) and leaf == "kernel":
            leaf = "depthwise_kernel"
        yield f"{leaf}:0", weight


def write(path, model, kind="weights", change=None):
    """Write a file as `save_weights` ("weights"), `save` ("model") or Keras 1 ("W_1") does."""
    with h5py.File(path, "w") as file:
        root = file
        if kind == "model":
            file.attrs["model_config"] = "{}"
            root = file.create_group("model_weights")
            file.create_group("optimizer_weights")["iterations:0"] = 3
            root.create_group("top_level_model_weights").attrs["weight_names"] = []
        root.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = root.create_group(layer.name)
            inner = layer.layers if isinstance(layer, keras.Model) else [layer]
            names = []
            for each in inner:
                for leaf, weight in legacy_names(each):
                    name = f"{each.name}/{leaf}"
                    if kind == "W_1" and leaf in ("kernel:0", "bias:0"):
                        name = f"{each.name}_{'W' if leaf[0] == 'k' else 'b'}_1:0"
                    names.append(name.encode())
                    group[name] = keras.ops.convert_to_numpy(weight.value)
            group.attrs["weight_names"] = names
        if change:
            change(root)
    return path


@pytest.mark.parametrize("kind", ["weights", "model", "W_1"])
@pytest.mark.parametrize("nested", [False, True])
def test_weights_are_found_by_name(tmp_path, kind, nested):
    source, target = randomized(network(nested)), randomized(network(nested), seed=1)
    path = write(tmp_path / "m.h5", source, kind)
    report = vg.transfer(path, target, min_coverage=1.0)
    assert (report.share_of_target, report.share_of_source) == (1, 1)
    assert report.differs == report.only_in_source == ()
    for mine, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_long_lists_of_names(tmp_path):
    def split(root):
        names = root["bn_Conv1"].attrs["weight_names"]
        del root["bn_Conv1"].attrs["weight_names"]
        root["bn_Conv1"].attrs["weight_names0"] = names[:3]
        root["bn_Conv1"].attrs["weight_names1"] = names[3:]

    source, target = randomized(network()), network()
    path = write(tmp_path / "m.h5", source, change=split)
    assert vg.transfer(path, target, min_coverage=1.0).share_of_target == 1


@pytest.mark.slow
def test_a_network_of_keras_applications(tmp_path):
    """The names of its files of Keras 2 are those that the rules of Keras 3's expect."""
    source = keras.applications.MobileNetV2(weights=None, input_shape=(*SIZE, 3), classes=5)
    path = write(tmp_path / "mobilenet_v2.h5", source)
    backbone = vg.backbones.MobileNetV2(asymmetric=True, top_channels=1280, levels=("p5",))
    with weightless():
        model = vg.Classifier(backbone, vg.heads.Classification(num_classes=5), image_size=32)
    rules = vg.weights.read_rules("keras-mobilenetv2")
    with open_source(path) as opened:
        names = {rules.renamed(stored.name) for stored in opened.weights}
    assert names == {weight.path for weight in model.weights}


def _missing(root):
    del root["Conv1/Conv1/kernel:0"]


def _link(root):
    root["Conv1/again"] = h5py.ExternalLink("other.h5", "/")


def _cycle(root):
    root["Conv1/again"] = root["Conv1"]


def _outside(root):
    root["array"] = np.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_missing, "is not a complete weights file"),
        (_link, "again is a link"),
        (_cycle, "do not form a tree"),
        (_outside, "array outside of a layer|is not a weights file"),
    ],
)
def test_invalid_files(tmp_path, change, message):
    target = randomized(network())
    before = target.get_weights()
    path = write(tmp_path / "m.h5", network(), change=change)
    with pytest.raises(UserError, match=message):
        vg.transfer(path, target)
    assert all(map(np.array_equal, before, target.get_weights()))


def test_linked_weights_of_a_model(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(UserError, match="model_weights is a link"):
        vg.transfer(tmp_path / "m.h5", network())
