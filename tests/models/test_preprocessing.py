"""The first layer of a model: pixel values as stored, in float32 whatever the policy."""

import copy
import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import visiongarden as vg
from visiongarden.errors import ConfigError, ModelFileError, UserError

VALUES = [0, 1, 201, 40001, 65535]
RANDOM = np.random.default_rng(0)


def arrays(outputs):
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def detector(preprocessing=None, **options):
    keras.utils.set_random_seed(0)
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p3",)),
        vg.decoders.FPN(channels=8, levels=("p3",)),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        options.pop("image_size", (32, 64)),
        preprocessing=preprocessing,
        **options,
    )


def preprocessed(model, images):
    layer = keras.Model(model.input, model.get_layer("preprocessing").output)
    return keras.ops.convert_to_numpy(layer(images))


def pixels(channels=3, dtype="uint8", batch=2):
    highest = np.iinfo(dtype).max
    return RANDOM.integers(0, highest + 1, (batch, 32, 64, channels)).astype(dtype)


@pytest.mark.backends
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_stored_values_arrive_exactly(policy):
    model = detector({"channels": 1, "dtype": "uint16", "scale": 1.0}, dtype=policy)
    images = np.resize(VALUES, (1, 32, 64, 1))
    for dtype in ("uint16", "float32"):
        found = preprocessed(model, images.astype(dtype))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, images)
    small = np.resize([0, 1, 127, 201, 255], (1, 32, 64, 1))
    np.testing.assert_array_equal(preprocessed(model, small.astype(np.uint8)), small)
    # The layers after it compute in the type of the policy.
    raw = keras.tree.flatten(model(images.astype("uint16")))
    assert {keras.backend.standardize_dtype(x.dtype) for x in raw} == {
        keras.dtype_policies.get(policy).compute_dtype
    }


def test_the_input_is_float32_whatever_floatx_is():
    keras.config.set_floatx("float16")
    try:
        model = detector(dtype="float32")
    finally:
        keras.config.set_floatx("float32")
    assert model.input.dtype == "float32"
    assert model.get_layer("preprocessing").output.dtype == "float32"


def test_the_numbers_of_8_bits_are_those_of_a_multiplication():
    """Bit-equal to the parts on float32(1 / 255) times the values, which models took before."""
    model, images = detector(), pixels()
    shares = images.astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(preprocessed(model, images), shares)
    expected = model.head(model.decoder(model.backbone(shares)))
    for one, other in zip(arrays(model(images)), arrays(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_order_scale_mean_and_std():
    mean, std = (0.1, 0.2, 0.3), (2.0, 4.0, 8.0)
    model = detector({"channels": 4, "order": (3, 1, 0), "scale": 0.5, "mean": mean, "std": std})
    assert model.input_shape == (None, 32, 64, 4)
    assert model.backbone.input_shape == (None, 32, 64, 3)
    images = pixels(4)
    expected = (images[..., [3, 1, 0]].astype(np.float64) * 0.5 - mean) / std
    np.testing.assert_allclose(preprocessed(model, images), expected, rtol=1e-6, atol=1e-6)


def test_the_layer_has_no_weights_and_changes_no_path():
    model = detector()
    assert [layer.name for layer in model.layers] == [
        "images",
        "preprocessing",
        "backbone",
        "decoder",
        "head",
    ]
    assert not model.get_layer("preprocessing").weights
    assert {w.path.partition("/")[0] for w in model.weights} == {"backbone", "decoder", "head"}


@pytest.mark.slow
@pytest.mark.slow_backends
def test_it_is_saved_and_kept_by_copies(tmp_path):
    fields = {"channels": 4, "dtype": "uint16", "order": [0, 1, 3], "mean": 0.25, "std": [1, 2, 3]}
    model, images = detector(fields), pixels(4, "uint16")
    chosen = vg.Preprocessing(**fields)
    assert model.preprocessing == chosen
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    others = [again, keras.saving.load_model(tmp_path / "m.keras"), copy.deepcopy(model)]
    for other in others:
        assert other.preprocessing == chosen
        for one, two in zip(arrays(model(images)), arrays(other(images)), strict=True):
            np.testing.assert_array_equal(one, two)
    assert model.resized((64, 64)).preprocessing == model.fused().preprocessing == chosen


def test_a_config_without_preprocessing_is_refused():
    config = detector().get_config()
    assert vg.Preprocessing(**config["preprocessing"]) == vg.Preprocessing()
    del config["preprocessing"]
    with pytest.raises(ModelFileError, match="does not contain the model's preprocessing"):
        vg.Detector.from_config(config)
    with pytest.raises(ModelFileError, match="preprocessing is not valid"):
        vg.Detector.from_config(config | {"preprocessing": {"channels": -1}})


def test_weights_of_a_file_without_preprocessing_can_be_copied(tmp_path):
    model, again = detector(class_map=("cat", "dog")), detector(class_map=("cat", "dog"))
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(tmp_path / "m.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as archive,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in archive.namelist():
            raw = archive.read(name)
            if name == "config.json":
                fields = json.loads(raw)
                del fields["config"]["preprocessing"]
                raw = json.dumps(fields).encode()
            old.writestr(name, raw)
    with pytest.raises(ModelFileError, match="does not contain the model's preprocessing"):
        vg.load(tmp_path / "old.keras")
    assert vg.transfer(tmp_path / "old.keras", again).share_of_target == 1
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 0}, "channels"),
        ({"channels": 10**9}, "channels"),
        ({"order": (0, 1, 3)}, r"order is \[0, 1, 3\]"),
        ({"order": ()}, "order is"),
        ({"mean": (0.0, 1.0)}, "mean has 2 values"),
        ({"std": (1.0, 0.0, 1.0)}, "finite numbers above 0"),
        ({"mean": float("nan")}, "finite numbers"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"dtype": "int8"}, "dtype"),
        ({"means": 0.0}, "means"),
    ],
)
def test_invalid_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        vg.Preprocessing(**fields)


def test_it_is_a_value():
    value = vg.Preprocessing(channels=4, dtype="uint16")
    assert vg.Preprocessing.from_dict(json.loads(json.dumps(value.to_dict()))) == value
    assert hash(value) == hash(vg.Preprocessing(channels=4, dtype="uint16", scale=1 / 65535))
    assert str(value) == "4 channels of uint16, scale 1/65535"
    assert vg.Preprocessing.for_images(vg.data.Layout(2, "uint16"), (100, 4195)) == (
        vg.Preprocessing(channels=2, dtype="uint16", scale=1 / 4095, mean=100 / 4095)
    )


def test_it_is_shown_and_compared():
    plain, other = detector(), detector({"channels": 4})
    assert "preprocessing: 4 channels of uint8, scale 1/255" in str(vg.show(other))
    assert "4 channels of uint8" in vg.show(other).html()
    assert "4 channels of uint8" in other._repr_html_()
    fields = {change.place: change.after for change in vg.diff(plain, other).fields}
    assert fields == {"preprocessing.channels": 4}


@pytest.mark.parametrize(
    ("preprocessing", "shape", "message"),
    [
        ({"channels": 4}, (20, 30, 3), "have 3 channels, and the model takes 4"),
        ({"channels": 5}, (20, 30), "have 1 channel"),
        ({"channels": 1, "dtype": "uint16"}, (20, 30), "1 channel of uint8, and the model takes"),
    ],
)
def test_images_that_the_model_does_not_take(preprocessing, shape, message):
    with pytest.raises(UserError, match=message):
        list(detector(preprocessing).detect([np.zeros(shape, np.uint8)]))


def test_results_of_files_arrays_and_floats_are_equal(tmp_path):
    model = detector({"channels": 1, "dtype": "uint16"})
    image = RANDOM.integers(0, 65536, (32, 64)).astype(np.uint16)
    image[0, 0] = 65535
    Image.fromarray(image).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", image)
    (expected,) = model.detect([image], score=0.0)
    for other, value_range in (
        (tmp_path / "a.png", None),
        (tmp_path / "a.npy", None),
        (Image.fromarray(image), None),
        (image[..., None].astype(np.float32), None),
        (image / 65535, (0, 1)),
    ):
        (found,) = model.detect([other], score=0.0, value_range=value_range)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.image.picture(found).shape == (32, 64, 3)
    with pytest.raises(UserError, match=r"value_range=\(0, 1\)"):
        list(model.detect([image / 65535]))


@vg.register(package="test_preprocessing")
class FiveBands(vg.Detector):
    """A model whose constructor states its preprocessing."""

    def __init__(self, bands: int = 5, **kwargs):
        super().__init__(
            vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p3",)),
            vg.decoders.PassOn(levels=("p3",)),
            vg.heads.AnchorFree(num_classes=2, bins=4),
            preprocessing=vg.Preprocessing(channels=bands),
            **kwargs,
        )


@pytest.mark.slow
def test_a_subclass_with_its_own_preprocessing(tmp_path, monkeypatch):
    model = FiveBands(bands=6)
    model.save(tmp_path / "m.keras")
    assert vg.load(tmp_path / "m.keras").preprocessing.channels == 6
    config = model.get_config()
    config["preprocessing"]["scale"] = 1.0
    with pytest.raises(ModelFileError, match="builds another preprocessing"):
        FiveBands.from_config(config)


@pytest.mark.slow
def test_darknet_takes_plain_preprocessing_only(tmp_path):
    def export(preprocessing):
        model = vg.Detector(
            vg.backbones.Darknet53(width=0.0625),
            vg.decoders.YOLOv3Decoder(width=0.0625),
            vg.heads.AnchorBased(num_classes=2),
            64,
            preprocessing=preprocessing,
        )
        vg.export_darknet(model, tmp_path / "a.cfg", tmp_path / "a.weights")

    for fields in ({"scale": 1.0}, {"order": (2, 1, 0)}, {"mean": 0.5}, {"dtype": "uint16"}):
        with pytest.raises(UserError, match="preprocessing of the model cannot be exported"):
            export(fields)
    assert not list(tmp_path.iterdir())
    export({"channels": 4})
    again = vg.import_darknet(tmp_path / "a.cfg", tmp_path / "a.weights")
    assert again.preprocessing == vg.Preprocessing(channels=4)
    image = RANDOM.integers(0, 256, (64, 64, 4)).astype(np.uint8)
    (found,) = again.detect([image], score=0.0)
    raw = again.predict_on_batch(image[None].astype(np.float32))
    scores = again.decode()(raw, (64, 64))["scores"]
    highest = keras.ops.convert_to_numpy(scores).max()
    np.testing.assert_allclose(np.max(found.scores), highest, rtol=1e-6)
    with pytest.raises(UserError, match="have 3 channels, and the model takes 4"):
        list(again.detect([image[..., :3]]))
