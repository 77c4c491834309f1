"""Runs on images other than 8-bit RGB: trained, evaluated, predicted and exported as stored."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

import visiongarden as vg
from visiongarden.errors import ConfigError, UserError
from visiongarden.evaluation.forward import forward_of
from visiongarden.recipes.preprocessing import preprocessing_for
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.splits import read_split

RANDOM = np.random.default_rng(0)
MODEL = {
    "backbone": {"type": "CSPDarknet", "depth": 0.33, "width": 0.0625, "levels": ["p5"]},
    "decoder": {"type": "PassOn", "levels": ["p5"]},
    "head": {"type": "Classification"},
    "image_size": [32, 64],
}


def folders(root, image_of, end):
    """Write class folders of two classes for both splits."""
    for number in range(8):
        split, name = ("train", "val")[number % 2], ("dark", "light")[number // 2 % 2]
        path = root / split / name / f"{number}.{end}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = image_of(number // 2 % 2)
        np.save(path, image) if end == "npy" else Image.fromarray(image).save(path)
    return root


def random_image(shape, dtype):
    def image_of(number):
        if dtype == "float32":
            return RANDOM.random(shape, np.float32) * 0.5 + number * 0.5
        highest = np.iinfo(dtype).max
        low = number * highest // 2
        return RANDOM.integers(low, low + highest // 2, shape).astype(dtype)

    return image_of


def fields(path, **data):
    return {
        "task": "classification",
        "model": MODEL,
        "data": {"path": str(path)} | data,
        "transforms": [{"type": "HorizontalFlip"}],
        "training": {"epochs": 1, "batch_size": 2, "tensorboard": False},
    }


CASES = {
    "four": ((32, 64, 4), "uint16", "npy", {}, "4 channels of uint16, scale 1/65535"),
    "12 bits": (
        (32, 64, 4), "uint16", "npy", {"value_range": [0, 65535 / 16]},
        "4 channels of uint16, scale 0.000244144",
    ),
    "gray": ((32, 64), "uint8", "png", {"channels": "gray"}, "1 channel of uint8, scale 1/255"),
    "gray 16": (
        (32, 64), "uint16", "png", {"channels": "gray"}, "1 channel of uint16, scale 1/65535",
    ),
    "floats": (
        (32, 64, 5), "float32", "npy", {"value_range": [0, 1]}, "5 channels of float32",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "four",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("gray", "12 bits", "gray 16", "floats")
        ),
    ],
)
def test_a_run(tmp_path, name, caplog):
    shape, dtype, end, data, text = CASES[name]
    root = folders(tmp_path / "data", random_image(shape, dtype), end)
    caplog.set_level("INFO")
    result = vg.train(fields(root, **data), output=tmp_path / "run")
    assert f"images: {text}" in caplog.messages
    model = vg.load(result.best)
    assert str(model.preprocessing) == text
    channels = data.get("channels", "auto")
    again = vg.evaluate(model, root, channels=channels)
    assert again["top1"] == result.metrics["top1"]
    file = next((root / "val" / "light").iterdir())
    image = vg.data.Channels(channels).decode(file)
    (of_file,), (of_array,) = (list(model.classify([x])) for x in (file, image))
    np.testing.assert_array_equal(of_file.scores, of_array.scores)
    expected = np.asarray(forward_of(model, (32, 64))(image[None])["scores"])[0]
    np.testing.assert_allclose(of_file.scores, np.sort(expected)[::-1], atol=1e-6)


@pytest.mark.slow
def test_the_recipe_states_the_preprocessing(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64), "uint8"), "png")
    chosen = {"channels": 1, "order": [0, 0, 0], "mean": [0.485, 0.456, 0.406], "std": 0.25}
    recipe = fields(root, channels="gray")
    recipe["model"] = MODEL | {"preprocessing": chosen}
    result = vg.train(recipe, output=tmp_path / "run")
    assert result.recipe.model.preprocessing == vg.Preprocessing(**chosen)
    assert vg.load(result.last).preprocessing == vg.Preprocessing(**chosen)
    assert "preprocessing" in (tmp_path / "run" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ({}, ["model.preprocessing={channels: 3}"], "have 4 channels, and the model takes 3"),
        ({}, ["model.preprocessing={channels: 4}"], "4 channels of uint16, and the model takes 4"),
        (
            {"value_range": [0, 4095]},
            ['model.preprocessing={channels: 4, dtype: "uint16"}'],
            "value_range has no effect",
        ),
        ({"value_range": [9, 9]}, [], r"value_range is \[9.0, 9.0\]"),
        (
            {},
            ["model.backbone={type: MobileNetV9}"],
            "MobileNetV9",
        ),
        (
            {},
            ["model.backbone={type: KerasApplication, name: MobileNetV2, levels: [p5]}"],
            "have 4 channels, and the model takes 3",
        ),
    ],
)
def test_mistakes_are_found_before_training(tmp_path, data, changes, message):
    root = folders(tmp_path / "data", random_image((32, 64, 4), "uint16"), "npy")
    with pytest.raises(UserError, match=message):
        vg.train(fields(root, **data), *changes, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_fix_of_a_recipe_is_an_override(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64, 4), "uint16"), "npy")
    mobilenet = "model.backbone={type: KerasApplication, name: MobileNetV2, levels: [p5]}"
    with pytest.raises(UserError, match="have 4 channels") as caught:
        vg.train(fields(root), mobilenet, output=tmp_path / "run")
    (fix,) = shlex.split(caught.value.fix)
    recipe = resolve(fields(root), overrides=[mobilenet, fix])
    # From -1 to 1, of the first three channels.
    expected = vg.Preprocessing(
        channels=4, dtype="uint16", order=(0, 1, 2), scale=2 / 65535, mean=1
    )
    assert recipe.model.preprocessing.is_same_to_backbone(expected)
    assert recipe.model.preprocessing.scale == pytest.approx(2 / 65535)
    split = read_split(recipe.kind, recipe.data, "train")
    assert preprocessing_for(recipe, split) == recipe.model.preprocessing


def test_preprocessing_of_a_recipe_that_the_weights_do_not_suit(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64, 3), "uint8"), "png")
    backbone = {"type": "KerasApplication", "name": "VGG16", "weights": "vgg.h5", "levels": ["p5"]}
    changes = [f"model.backbone={json.dumps(backbone)}", "model.preprocessing={mean: 0.5}"]
    with pytest.raises(ConfigError, match="trained on other values") as caught:
        vg.train(fields(root), *changes, output=tmp_path / "run")
    (fix,) = shlex.split(caught.value.fix)
    chosen = resolve(fields(root), overrides=[*changes, fix]).model.preprocessing
    # BGR from 0 to 255 minus the mean of ImageNet, see keras.applications.vgg16.
    assert (chosen.order, chosen.scale) == ((2, 1, 0), 1.0)
    assert chosen.mean == (103.939, 116.779, 123.68)


def test_the_range_of_images_for_a_backbone_with_preprocessing(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64, 3), "uint16"), "npy")
    mobilenet = "model.backbone={type: KerasApplication, name: MobileNetV2, levels: [p5]}"
    recipe = resolve(fields(root, channels="stored", value_range=[0, 4095]), overrides=[mobilenet])
    split = read_split(recipe.kind, recipe.data, "train")
    chosen = preprocessing_for(recipe, split)
    assert (chosen.dtype, chosen.mean) == ("uint16", 1.0)
    assert chosen.scale == pytest.approx(2 / 4095)


def test_floats_need_their_range(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64, 4), "float32"), "npy")
    with pytest.raises(ConfigError, match="floats") as caught:
        vg.train(fields(root), output=tmp_path / "run")
    assert caught.value.fix == "data.value_range=[0,1]"


def test_other_data_than_the_model_s(tmp_path):
    root = folders(tmp_path / "data", random_image((32, 64), "uint8"), "png")
    model = vg.Classifier(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=2),
        image_size=(32, 64),
        class_map=("dark", "light"),
        preprocessing={"channels": 1},
    )
    # Files of gray are read as RGB by default.
    with pytest.raises(UserError, match="3 channels, and the model takes 1") as caught:
        vg.evaluate(model, root)
    assert caught.value.fix == "channels='gray'"
    assert vg.evaluate(model, root, channels="gray").images == 4


@pytest.mark.slow
def test_an_exported_file_takes_the_type_of_the_images(tmp_path):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = vg.Classifier(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=2),
        image_size=(32, 64),
        preprocessing={"channels": 4, "dtype": "uint16", "order": [3, 2, 1], "mean": 0.5},
    )
    for data in (np.zeros((1, 32, 64, 4), np.uint8), np.zeros((1, 32, 64, 3), np.uint16)):
        with pytest.raises(UserError, match="the images are of type"):
            vg.export(model, tmp_path / "m.onnx", data=data)
    assert vg.export(model, tmp_path / "m.onnx").parity.agrees
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint16)", [32, 64, 4])
    images = RANDOM.integers(0, 65536, (1, 32, 64, 4)).astype(np.uint16)
    (scores,) = session.run(["scores"], {"images": images})
    np.testing.assert_allclose(scores, forward_of(model, (32, 64))(images)["scores"], atol=1e-5)
    metadata = {p.key: p.value for p in onnx.load(str(tmp_path / "m.onnx")).metadata_props}
    assert vg.Preprocessing(**json.loads(metadata["preprocessing"])) == model.preprocessing
