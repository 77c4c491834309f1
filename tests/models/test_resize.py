"""The resize of a model is one value in training, evaluation, prediction and files."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, ModelFileError, UserError
from visiongarden.recipes import resolve
from visiongarden.tasks import task_of
from visiongarden.transforms import CenterCrop, Letterbox, Pipeline, Resize, Resizing


@vg.register(package="test_resize")
class LeftHalf(Resizing):
    """Custom resize: the left half of an image fills the canvas."""

    def ratios(self, size, canvas):
        return canvas[0] / size[0], 2 * canvas[1] / size[1]

    def corner(self, scaled, canvas):
        return 0, 0


def detector(**options):
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(levels=("p3",), depth=0.33, width=0.0625),
        decoder=vg.decoders.PassOn(levels=("p3",)),
        head=vg.heads.AnchorFree(num_classes=2, bins=4),
        image_size=(32, 64),
        **options,
    )


def pattern(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], -1).astype(np.uint8)


def test_where_each_resize_puts_an_image():
    """Scale, first pixel and border by hand; 20 x 40 pixels on a canvas of 40 x 40."""
    image = np.full((20, 40, 3), 200, np.uint8)
    for resize, scale, offset in [
        (Letterbox(), (1.0, 1.0), (0.0, 10.0)),
        (Letterbox(align="top_left"), (1.0, 1.0), (0.0, 0.0)),
        (Resize(), (1.0, 2.0), (0.0, 0.0)),
        (CenterCrop(), (2.0, 2.0), (-20.0, 0.0)),
        (CenterCrop(fraction=0.5), (4.0, 4.0), (-60.0, -20.0)),
        (LeftHalf(), (2.0, 2.0), (0.0, 0.0)),
    ]:
        canvas, placement = resize.place(image, (40, 40))
        assert (placement.scale, placement.offset) == (scale, offset), resize
        assert (canvas.shape, canvas.dtype) == ((40, 40, 3), np.uint8)
    canvas, _ = Letterbox(fill=(1, 2, 3), align="top_left").place(image, (40, 40))
    assert (canvas[:20] == 200).all()
    assert (canvas[20:] == (1, 2, 3)).all()


def test_a_crop_of_0_875_is_that_of_imagenet():
    """The shorter side is scaled to 256 pixels, and the center 224 are cropped."""
    _, placement = CenterCrop(fraction=0.875).place(np.zeros((512, 768, 3), np.uint8), (224, 224))
    assert placement.scale == (0.5, 0.5)
    assert placement.offset == (-(384 - 224) / 2, -(256 - 224) / 2)


@pytest.mark.parametrize("resize", [Letterbox(fill=7, align="top_left"), Resize(), CenterCrop()])
def test_training_and_prediction_place_images_in_the_same_way(resize):
    """The pipeline of training, without other transforms, has the pixels of prediction."""
    sample = vg.samples.Sample(vg.samples.ImageInfo(1, None, (50, 33)), pattern(50, 33))
    pipeline = Pipeline(
        [], [sample], size=(32, 64), capacity=1, epochs=1, seed=0, resize=resize
    )  # fmt: skip
    expected, _ = resize.place(sample.image, (32, 64))
    np.testing.assert_array_equal(pipeline(0, 0).image, expected)


@pytest.mark.slow
def test_the_file_contains_the_resize(tmp_path):
    model = detector(resize={"type": "Letterbox", "fill": 0, "align": "top_left"})
    expected = Letterbox(fill=0, align="top_left")
    assert model.resize == expected
    model.save(tmp_path / "m.keras")
    assert vg.load(tmp_path / "m.keras").resize == expected
    assert keras.saving.load_model(tmp_path / "m.keras").resize == expected
    assert model.resized((64, 64)).resize == model.fused().resize == expected
    assert detector(resize="Resize").resize == Resize()


def test_default_of_each_task():
    assert detector().resize == Letterbox()
    classifier = vg.Classifier(
        backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
        head=vg.heads.Classification(num_classes=2),
    )
    assert classifier.resize == CenterCrop()


def test_a_file_without_the_resize_is_refused():
    config = detector().get_config()
    del config["resize"]
    with pytest.raises(ModelFileError, match="does not contain how the model's images are resized"):
        vg.Detector.from_config(config)
    config["resize"] = {"type": "elsewhere>Magnify"}
    with pytest.raises(ModelFileError, match=r"(?s)elsewhere>Magnify.*import the module"):
        vg.Detector.from_config(config)


def test_show_and_diff_name_it():
    stretched = detector(resize=Resize())
    assert "resize: Resize()" in str(vg.show(stretched, image_size=(32, 64)))
    fields = vg.diff(detector(), stretched).fields
    assert {("resize.type", "Letterbox", "Resize")} <= {
        (f.place, f.before, f.after) for f in fields
    }


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        (Letterbox(), [0, 0, 64, 32]),  # half the size, from column 16 on
        (Letterbox(align="top_left"), [32, 0, 64, 32]),  # clipped at the right
        (Resize(), [16, 0, 48, 32]),
        (LeftHalf(), [8, 0, 24, 32]),
    ],
)
def test_predictions_are_in_pixels_of_the_original_image(resize, expected):
    """The box of columns 16 to 48 and rows 0 to 16 on the canvas, for an image of 64 x 64."""
    shown = []

    class Found:
        image_size = (32, 64)

        def __call__(self, images):
            shown.append(images[0])
            box = vg.samples.Boxes(np.array([[16, 0, 48, 16]], np.float32))
            return [vg.samples.Instances((32, 64), box, np.zeros(1, int), scores=np.ones(1))]

    image = pattern(64, 64)
    (found,) = vg.predict(detector(resize=resize), image, predictor=Found())
    np.testing.assert_allclose(np.asarray(found.boxes)[0], expected, atol=1e-4)
    np.testing.assert_array_equal(shown[0], resize.place(image, (32, 64))[0])


def test_evaluation_uses_the_resize_of_the_model():
    """The loader of `vg.evaluate` has the pixels and the placement of prediction."""
    image = pattern(40, 30)
    info = vg.samples.ImageInfo(1, None, (40, 30))
    boxes = vg.samples.Instances((40, 30), vg.samples.Boxes([[0, 0, 9, 9]]), np.zeros(1, int))
    data = vg.data.Dataset(vg.ClassMap(("a", "b")), [vg.samples.Sample(info, image, boxes)])
    for resize in (Resize(), Letterbox(fill=3), CenterCrop()):
        model = detector(resize=resize)
        loader = task_of(model).loader(data, (32, 64), 1, resize=model.resize)
        batch = next(loader.epoch(0))
        expected, placement = resize.place(image, (32, 64))
        np.testing.assert_array_equal(batch.images[0], expected)
        np.testing.assert_allclose(batch.info.scales[0], placement.scale, rtol=1e-6)


@pytest.mark.parametrize(
    ("layout", "value_range", "expected"),
    [
        (vg.data.Layout(3, "uint8"), None, 114),
        pytest.param(
            vg.data.Layout(1, "uint16"), None, round(114 / 255 * 65535), marks=pytest.mark.slow
        ),
        (vg.data.Layout(1, "uint16"), (0, 4095), round(114 / 255 * 4095)),
        pytest.param(vg.data.Layout(4, "float32"), (0, 1), 114 / 255, marks=pytest.mark.slow),
    ],
)
def test_borders_are_the_same_gray_for_every_type(layout, value_range, expected):
    """114 would be nearly black for 16 bits, and far outside the range of floats from 0 to 1."""
    preprocessing = vg.Preprocessing.for_images(layout, value_range)
    model = detector(preprocessing=preprocessing)
    assert model.resize.values == (pytest.approx(expected),)
    image = np.zeros((32, 32, layout.channels), layout.dtype)
    canvas, _ = model.resize.place(image, (32, 64))
    assert canvas.dtype == layout.dtype
    np.testing.assert_allclose(canvas[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("resize", "message"),
    [
        ("Leterbox", "Letterbox"),
        (3, "of type int"),
        ({"type": "Letterbox", "probability": 0.5}, "not be applied to every image"),
        ({"type": "Letterbox", "skip_last_epochs": 2}, "not be applied to every image"),
        ({"type": "Letterbox", "fill": [1, 2]}, "fill has 2 values"),
        ({"type": "Letterbox", "fill": 256}, "not a pixel value"),
        ({"type": "HorizontalFlip"}, "HorizontalFlip"),
    ],
)
def test_invalid_values(resize, message):
    with pytest.raises(ConfigError, match=message):
        detector(resize=resize)


def test_another_fill_among_the_transforms_is_refused():
    with pytest.raises(UserError, match="another fill value") as error:
        Pipeline([Letterbox(fill=0)], [], size=(8, 8), capacity=1, epochs=1, seed=0)
    assert error.value.fix == "model.resize='{type: Letterbox, fill: 0.0}'"


def test_a_recipe_sets_it():
    fields = {
        "model": {"head": {"type": "AnchorFree", "num_classes": 2}},
        "data": {"path": "none"},
        "transforms": [],
        "training": {"epochs": 1, "batch_size": 1},
    }
    recipe = resolve(fields)
    assert recipe.model.resize == Letterbox()
    recipe = resolve(fields, overrides=["model.resize.fill=0", "model.resize.align=top_left"])
    assert recipe.model.resize == Letterbox(fill=0, align="top_left")
    recipe = resolve(fields, overrides=["model.resize=Resize"])
    assert recipe.build_weightless().resize == Resize()
    with pytest.raises(ConfigError, match=r"model\.resize"):
        resolve(fields, overrides=["model.resize=Strech"])
