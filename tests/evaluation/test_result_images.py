"""A result knows its classes and size, and the image that it belongs to."""

import base64
import copy
import pickle
import re

import cv2
import numpy as np
import pytest
from PIL import Image

import visiongarden as vg
from visiongarden.drawing import draw
from visiongarden.evaluation import predict
from visiongarden.samples import Boxes, Instances
from visiongarden.types import ClassMap

IMAGE = np.stack(np.broadcast_arrays(np.arange(48)[:, None] * 5, np.arange(64) * 4, 40), -1)
IMAGE = IMAGE.astype(np.uint8)
CLASSES = ClassMap(("cat", "<script>alert(1)</script>"))
PICTURE = re.compile(
    r'<img alt="prediction" src="data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)">'
)


class Model:
    task, image_size, class_map = "detection", (32, 32), CLASSES


class OneBox:
    """Predictor that finds the same box in each image."""

    image_size = (32, 32)

    def __call__(self, images):
        return [Instances((0, 0), Boxes([[4, 8, 20, 24]]), [1], scores=[0.75]) for _ in images]


def found_in(images, **options):
    return list(predict(Model, images, predictor=OneBox(), **options))


def shown(found):
    match = PICTURE.search(found._repr_html_())
    return None if match is None else cv2.imdecode(
        np.frombuffer(base64.b64decode(match[1]), np.uint8), cv2.IMREAD_COLOR_RGB
    )  # fmt: skip


def test_a_result_knows_its_classes_and_size():
    (found,) = found_in(IMAGE)
    assert found.class_map is CLASSES
    assert found.size == (48, 64)
    # The canvas has half the size, with 4 rows above the image: y 8 is 2 * (8 - 4).
    assert np.asarray(found.boxes).tolist() == [[8, 8, 40, 40]]
    assert repr(found) == (
        "Instances(1 × <script>alert(1)</script>; scores 0.750 to 0.750; image 48 × 64)"
    )


@pytest.mark.parametrize("form", ["array", "batch", "list", "pillow", "path", "text"])
def test_a_notebook_shows_the_picture(tmp_path, form):
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    images = {
        "array": IMAGE,
        "batch": IMAGE[None],
        "list": [IMAGE, IMAGE],
        "pillow": Image.fromarray(IMAGE),
        "path": path,
        "text": [str(path)],
    }[form]
    found = found_in(images)[-1]
    expected, picture = draw(IMAGE, found, CLASSES), shown(found)
    assert np.array_equal(picture, expected)
    assert not np.array_equal(picture, IMAGE)


def test_names_are_escaped():
    page = found_in(IMAGE)[0]._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<td" in page
    assert "0.750" in page


def test_a_large_picture_is_reduced():
    (found,) = found_in(np.zeros((1500, 3000, 3), np.uint8))
    assert shown(found).shape == (480, 960, 3)
    # Noise is the worst case of every compression.
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8)
    (found,) = found_in(noise)
    assert "image/jpeg" in found._repr_html_()
    assert shown(found).shape == (960, 960, 3)


def test_images_of_a_stream_are_not_kept():
    results = found_in(image for image in [IMAGE] * 3)
    assert [result.image.pixels for result in results] == [None] * 3
    assert shown(results[0]) is None
    assert "0.750" in results[0]._repr_html_()


def test_a_file_that_is_gone_or_replaced_is_not_shown(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    (found,) = found_in(path)
    Image.fromarray(IMAGE[:20]).save(path)
    assert shown(found) is None
    path.write_bytes(b"no image")
    assert shown(found) is None
    path.unlink()
    assert shown(found) is None


def test_pixels_are_not_serialized(tmp_path):
    (found,) = found_in(np.zeros((400, 400, 3), np.uint8))
    assert len(pickle.dumps(found)) < 4000
    assert pickle.loads(pickle.dumps(found)).size == (400, 400)  # noqa: S301
    assert shown(copy.copy(found)) is not None
    assert shown(found[found.scores > 0.5]) is not None
    assert found.warp(np.eye(3), (9, 9)).image is None  # other pixels
    assert "image" not in found.to_dict()
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    assert shown(pickle.loads(pickle.dumps(found_in(path)[0]))) is not None  # noqa: S301


def test_each_result_has_its_own_image():
    images = [np.full((10 + i, 20, 3), 10 * i, np.uint8) for i in range(5)]
    results = found_in(images, batch_size=2)
    assert [result.image.pixels[0, 0, 0] for result in results] == [0, 10, 20, 30, 40]
    assert [result.size for result in results] == [(10 + i, 20) for i in range(5)]


def test_an_imported_network_knows_its_classes_and_the_image(tmp_path):
    cfg = (
        "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=14\nsize=1\nstride=32\n"
        "activation=linear\n[yolo]\nmask=0,1\nanchors=8,8, 16,16\nclasses=2\nnum=2\n"
    )
    model = vg.DarknetModel(cfg, class_map=CLASSES)
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    for found in (model.detect_image(path, score=0), *model.detect([path], score=0)):
        assert len(found) > 0
        assert found.class_map is CLASSES
        assert found.size == (48, 64)
        assert np.array_equal(shown(found), draw(IMAGE, found, CLASSES))
