"""Any functional Keras model as a backbone: levels, weights, files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, ModelFileError, UserError

KerasModel = vg.backbones.KerasModel


def network(size=(64, 64), channels=3, last=None):
    """Convolutions with a branch, normalization, a pooling, and dense layers at the end."""
    layers = keras.layers
    x = image = keras.Input((*size, channels), name="photo")
    for i in range(4):
        x = layers.Conv2D(4 + i, 3, 2, padding="same", name=f"down{i}")(x)
        x = layers.BatchNormalization(name=f"norm{i}")(x)
        y = layers.Conv2D(4 + i, 3, padding="same", activation="relu", name=f"branch{i}")(x)
        x = layers.Add(name=f"sum{i}")([x, y])
    x = last(x) if last else x
    x = layers.Dense(5, name="classes")(layers.Flatten()(x))
    model = keras.Model(image, x, name="own")
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.get_weights()]
    )
    return model


def maps(model, images):
    found = model(images, training=False)
    return {level: keras.ops.convert_to_numpy(tensor) for level, tensor in found.items()}


def expected(model, images, layer):
    inner = keras.Model(model.input, model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(inner(images, training=False))


@pytest.mark.backends
def test_named_levels_have_the_values_of_the_layers():
    own = network()
    part = KerasModel(own, levels={"p3": "branch2", "p4": "sum3"})
    assert str(part.spec()) == "FeatureSpec(p3: 6 ch /8, p4: 7 ch /16)"
    images = np.random.default_rng(1).random((2, 64, 64, 3), dtype=np.float32)
    found = maps(part.as_model(image_size=(64, 64)), images)
    for level, layer in part.layers.items():
        np.testing.assert_allclose(found[level], expected(own, images, layer), rtol=1e-6)
        assert found[level].std() > 0.1


@pytest.mark.parametrize("levels", [None, ("p3", "p4"), ["p2"]])
def test_levels_are_found_by_shapes(levels):
    part = KerasModel(network(), levels=levels)
    assert part.levels == tuple(levels or ("p3", "p4"))
    assert part.layers == {level: f"sum{int(level[1]) - 1}" for level in part.levels}


def test_images_of_another_size():
    """The dense layers after the last level, which need 64 pixels, are omitted."""
    own = network()
    backbone = KerasModel(own, levels=("p3", "p4"))
    head = vg.heads.AnchorFree(num_classes=2)
    model = vg.Detector(
        backbone, vg.decoders.FPN(levels=("p3", "p4"), channels=8), head, image_size=(96, 128)
    )
    images = np.random.default_rng(1).random((1, 96, 128, 3), dtype=np.float32)
    features = maps(model.backbone, images)
    assert features["p4"].shape == (1, 6, 8, 7)
    # The weights of the dense layer come last, so that those before it are the same.
    reference = expected(network((96, 128)), images, "sum2")
    np.testing.assert_allclose(features["p3"], reference, rtol=1e-6)
    assert {w.path for w in model.backbone.weights} == {w.path for w in backbone.as_model().weights}


def test_a_file_contains_network_and_weights(tmp_path):
    own = network()
    model = vg.Detector(
        KerasModel(own, levels=("p3", "p4")),
        vg.decoders.FPN(levels=("p3", "p4"), channels=8),
        vg.heads.AnchorFree(num_classes=2),
        image_size=64,
    )
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    assert again.parts.backbone == model.parts.backbone
    assert hash(again.parts.backbone) == hash(model.parts.backbone)
    assert all(map(np.array_equal, model.get_weights(), again.get_weights()))
    twice = model.resized((96, 96))
    assert twice.backbone.count_params() == model.backbone.count_params()


def test_from_a_file_and_by_name(tmp_path):
    own = network()
    own.save(tmp_path / "own.keras")
    part = KerasModel(tmp_path / "own.keras", levels={"p3": "sum2"})
    assert part == KerasModel(own, levels={"p3": "sum2"})
    fields = {"type": "KerasModel", "model": str(tmp_path / "own.keras"), "levels": {"p3": "sum2"}}
    assert vg.Backbone.from_dict(fields) == part
    assert vg.Backbone.from_dict(part.to_dict()) == part
    weights = part.as_model().get_layer("network").get_layer("down0").get_weights()
    np.testing.assert_array_equal(weights[0], own.get_layer("down0").get_weights()[0])
    again = part.replace(levels=("p3",)).as_model().get_layer("network").get_layer("down0")
    np.testing.assert_array_equal(again.get_weights()[0], weights[0])


class Subclassed(keras.Model):
    def call(self, x):
        return x


@keras.saving.register_keras_serializable("test_keras_model")
class Own(keras.layers.Layer):
    def call(self, x):
        return x * 2


def test_registered_layers_are_known():
    own = network(last=Own(name="own_layer"))
    part = KerasModel(own, levels={"p4": "own_layer"})
    images = np.random.default_rng(1).random((1, 64, 64, 3), dtype=np.float32)
    found = maps(part.as_model(image_size=(64, 64)), images)["p4"]
    np.testing.assert_allclose(found, 2 * expected(own, images, "sum3"), rtol=1e-6)


def test_unknown_layers_and_code_are_refused(tmp_path):
    own = network(last=keras.layers.Lambda(lambda x: x, name="code"))
    own.save(tmp_path / "code.keras")
    with pytest.raises(ModelFileError, match=r"not registered: .*ambda"):
        KerasModel(tmp_path / "code.keras", levels={"p4": "code"})
    with pytest.raises(ModelFileError, match=r"not registered: .*ambda"):
        KerasModel(own, levels={"p4": "code"}).spec()
    network(last=Own()).save(tmp_path / "own.keras")
    known = keras.saving.get_custom_objects()
    layer = known.pop("test_keras_model>Own")
    try:
        with pytest.raises(ModelFileError, match="not registered: test_keras_model>Own"):
            KerasModel(tmp_path / "own.keras", levels={"p3": "sum2"})
    finally:
        known["test_keras_model>Own"] = layer


@pytest.mark.parametrize(
    ("build", "levels", "error", "message"),
    [
        (lambda: Subclassed(), {"p3": "x"}, UserError, "is not a functional model of one image"),
        (network, {"p3": "sum9"}, UserError, "no layer 'sum9' for p3"),
        (network, ("p5",), ConfigError, "no layer of the network has the stride of p5"),
        (network, {"p4": "sum2"}, UserError, "wrong size"),
    ],
)
def test_mistakes(build, levels, error, message):
    with pytest.raises(error, match=message):
        KerasModel(build(), levels=levels).spec()


def test_other_channels_than_the_network_s():
    own = network()
    gray = vg.Preprocessing(channels=1)
    with pytest.raises(UserError, match=r"channels|weights"):
        vg.Classifier(
            KerasModel(own, levels=("p4",)),
            vg.heads.Classification(num_classes=2),
            image_size=64,
            preprocessing=gray,
        )


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-200], lambda raw: raw[: len(raw) // 2], lambda _: b""]
)
def test_damaged_files(tmp_path, damage):
    network().save(tmp_path / "m.keras")
    path = tmp_path / "damaged.keras"
    path.write_bytes(damage((tmp_path / "m.keras").read_bytes()))
    with pytest.raises(ModelFileError):
        KerasModel(path, levels={"p3": "sum2"})
