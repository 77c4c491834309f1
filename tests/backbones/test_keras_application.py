"""Networks of `keras.applications` as backbones: levels, pixel values and weights."""

import ast

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ContractError, UserError

Application = vg.backbones.KerasApplication


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        # The last map before each halving: published tables of the papers' channels.
        ("ResNet50", {"p2": 256, "p3": 512, "p4": 1024, "p5": 2048}),
        ("ResNet50V2", {"p3": 512, "p4": 1024, "p5": 2048}),
        ("VGG16", {"p1": 128, "p2": 256, "p3": 512, "p4": 512}),
        ("MobileNetV2", {"p5": 1280}),
        ("MobileNet", {"p3": 256, "p4": 512, "p5": 1024}),
    ],
)
def test_levels_are_measured(name, channels):
    spec = Application(name=name, levels=tuple(channels)).spec()
    assert {level: size.channels for level, size in spec.items()} == channels
    assert all(size.stride == 2 ** int(level[1:]) for level, size in spec.items())


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    # Random weights let the signal die out on the way; larger kernels keep it alive.
    for weight in network.weights:
        if "kernel" in weight.path:
            weight.assign(weight.value * 3)
    folder = tmp_path_factory.mktemp("weights")
    network.save_weights(folder / "mobilenetv2.weights.h5")
    return network, folder / "mobilenetv2.weights.h5"


def classifier(weights, size=64):
    backbone = Application(name="MobileNetV2", weights=str(weights), levels=("p5",))
    return vg.Classifier(backbone, vg.heads.Classification(num_classes=3), image_size=size)


def test_values_and_weights_are_the_network_s(mobilenet):
    """The backbone takes what `preprocess_input` returns, and the model pixel values."""
    network, file = mobilenet
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    prepared = keras.applications.mobilenet_v2.preprocess_input(images.astype(np.float32))
    wanted = keras.ops.convert_to_numpy(network(prepared))
    model = classifier(file)
    features = keras.Model(model.input, model.features(model.input)["backbone"])
    found = keras.ops.convert_to_numpy(features(images)["p5"])
    alone = keras.ops.convert_to_numpy(model.backbone(prepared)["p5"])
    np.testing.assert_allclose(alone, wanted, rtol=1e-5, atol=1e-5 * wanted.max())
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * wanted.max())


@pytest.mark.slow
def test_a_file_reopens_without_the_weights_file(mobilenet, tmp_path):
    _, file = mobilenet
    copy = tmp_path / "copy.weights.h5"
    copy.write_bytes(file.read_bytes())
    model = classifier(copy)
    model.save(tmp_path / "m.keras")
    copy.unlink()
    again = vg.load(tmp_path / "m.keras")
    assert again.parts.backbone == Application(name="MobileNetV2", levels=("p5",))
    assert all(map(np.array_equal, model.get_weights(), again.get_weights()))


@pytest.mark.slow
def test_reopening_never_downloads(mobilenet, tmp_path, monkeypatch):
    """Even a recipe's "imagenet" is not written into the model's file."""
    _, file = mobilenet
    model = classifier(file)
    part = model.parts.backbone.model_copy(update={"weights": "imagenet"})
    object.__setattr__(model.parts, "backbone", part)
    model.save(tmp_path / "m.keras")

    def download(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr(keras.utils, "get_file", download)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    vg.load(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("name", "values"),
    [("ResNet50", "caffe"), ("MobileNetV2", "tf"), ("DenseNet121", "torch")],
)
def test_what_each_network_was_trained_with(name, values):
    images = np.arange(768).reshape(1, 16, 16, 3).astype(np.uint8)
    found = vg.layers.Preprocess(Application(name=name).preprocessing)(images)
    imagenet_utils = keras.applications.imagenet_utils
    wanted = imagenet_utils.preprocess_input(images.astype(np.float32), mode=values)
    # A multiplication instead of a division differs in the last bit; three roundings for "torch".
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, rtol=0, atol=8e-7)


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({}, False),
        ({"scale": 1 / 127.5, "mean": 1.0}, True),
        ({"scale": 1.0, "mean": 127.5, "std": 127.5}, True),
        ({"scale": 1 / 127.5, "mean": 1.0, "order": (2, 1, 0)}, False),
        ({"channels": 4, "order": (0, 1, 2)}, False),
        ({"channels": 1, "order": (0, 0, 0), "scale": 1 / 127.5, "mean": 1.0}, True),
        ({"dtype": "uint16"}, False),
        ({"dtype": "uint16", "scale": 2 / 65535, "mean": 1.0}, True),
        ({"dtype": "uint16", "scale": 2 / 4095, "mean": 1.0}, True),  # 12 bits
    ],
)
def test_values_that_the_weights_need(fields, is_right):
    """MobileNetV2 takes -1 to 1."""
    given = vg.Preprocessing(**fields)
    Application(name="MobileNetV2").check_preprocessing(given)
    pretrained = Application(name="MobileNetV2", weights="imagenet")
    if is_right:
        return pretrained.check_preprocessing(given)
    with pytest.raises(UserError, match="trained on other values") as caught:
        pretrained.check_preprocessing(given)
    stated = ast.literal_eval(caught.value.fix.removeprefix("preprocessing="))
    pretrained.check_preprocessing(vg.Preprocessing(**stated))
    assert stated.get("dtype", "uint8") == given.dtype
    assert stated.get("channels", 3) == given.channels
    return None


def test_values_of_other_images():
    images = np.arange(768).reshape(1, 16, 16, 3).astype(np.uint8)
    eight = Application(name="ResNet50").preprocessing
    sixteen = eight.for_layout(vg.data.Layout(3, "uint16"), (1000, 1000 + 255 * 16))
    values = [
        keras.ops.convert_to_numpy(vg.layers.Preprocess(each)(pixels))
        for each, pixels in ((eight, images), (sixteen, images.astype(np.uint16) * 16 + 1000))
    ]
    np.testing.assert_allclose(values[1], values[0], rtol=0, atol=5e-5)


def test_a_network_that_scales_its_images_itself():
    assert Application(name="EfficientNetB0").preprocessing == vg.Preprocessing(scale=1.0)


@pytest.mark.slow
def test_weights_of_rgb_take_no_other_number_of_channels(mobilenet):
    _, file = mobilenet
    backbone = Application(name="MobileNetV2", weights=str(file), levels=("p5",))
    head = vg.heads.Classification(num_classes=3)
    with pytest.raises(UserError, match="weights of MobileNetV2 take 3 channels"):
        vg.Classifier(backbone, head, preprocessing={"channels": 4})
    # Gray images that are repeated are fine.
    scaled = {"channels": 1, "scale": 1 / 127.5, "mean": 1.0}
    model = vg.Classifier(backbone, head, preprocessing=scaled | {"order": (0, 0, 0)})
    assert model.input_shape == (None, None, None, 1)


def test_new_weights_take_any_number_of_channels():
    model = vg.Classifier(
        Application(name="MobileNetV2", levels=("p3",)),
        vg.heads.Classification(num_classes=2),
        preprocessing={"channels": 5, "dtype": "uint16"},
    )
    assert model.get_layer("backbone").get_layer("MobileNetV2").input_shape[-1] == 5


@pytest.mark.slow_backends
def test_weights_can_be_trained_and_are_named():
    model = vg.Classifier(
        Application(name="MobileNetV2", levels=("p3",)), vg.heads.Classification(num_classes=2)
    )
    assert model.weights[0].path == "backbone/Conv1/kernel"
    images = np.random.default_rng(0).random((1, 32, 64, 3), dtype=np.float32)
    assert model(images)["p3"]["classes"].shape == (1, 2)
    # What comes after the last level is not made.
    assert not [w.path for w in model.weights if "block_16" in w.path]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "MobileNetV9"}, "did you mean MobileNetV2"),
        (
            {"name": "MobileNetV2", "weights": "nowhere.h5"},
            "the weights file nowhere.h5 does not exist",
        ),
        ({"name": "InceptionV3"}, "no feature map with an exact stride"),
    ],
)
def test_invalid_values(fields, message):
    with pytest.raises(UserError, match=message):
        Application(**fields).as_model()


def test_other_weights_are_refused(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(
        tmp_path / "other.weights.h5"
    )
    (tmp_path / "broken.weights.h5").write_bytes(b"hello")
    for name in ("other.weights.h5", "broken.weights.h5"):
        with pytest.raises(UserError, match="cannot be loaded"):
            Application(name="MobileNetV2", weights=str(tmp_path / name)).as_model()


def test_a_missing_level():
    with pytest.raises(ContractError, match="has no level p7"):
        Application(name="MobileNet", levels=("p3", "p7")).spec()
