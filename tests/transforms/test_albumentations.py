"""`Albumentations`: with the package if it is installed, otherwise with a stand-in."""

import importlib
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from visiongarden.config import dump_yaml, load_yaml
from visiongarden.errors import ConfigError, UserError
from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
)
from visiongarden.transforms import Albumentations, Transform

SIZE = (40, 60)
BOXES = np.array([[10, 5, 30, 20], [40, 22, 58, 38]], np.float32)
STAND_IN = Path(__file__).parent / "stand_in"


def installed():
    try:
        return metadata.version("albumentations").startswith("2.0.")
    except metadata.PackageNotFoundError:
        return False


def distribution(folder, name, version):
    """Write the metadata of an installed distribution."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture(name="A")
def package(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    if not installed():
        distribution(tmp_path, "albumentations", "2.0.8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.syspath_prepend(str(STAND_IN))
        monkeypatch.delitem(sys.modules, "albumentations", raising=False)
    yield importlib.import_module("albumentations")
    if not installed():
        sys.modules.pop("albumentations", None)


def picture():
    image = np.full((*SIZE, 3), 40, np.uint8)
    for x1, y1, x2, y2 in BOXES.astype(int):
        image[y1:y2, x1:x2] = 200
    return image


def sample(pairs=((0, 1),), image=None, **changes):
    x1, y1, x2, y2 = BOXES.T
    rings = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
    points = np.stack([np.stack([x1 + 2, y1 + 3], 1), np.stack([x2 - 4, y1 + 3], 1)], 1)
    fields = {
        "masks": Masks.from_polygons([[ring] for ring in rings], SIZE),
        "keypoints": Keypoints(np.concatenate([points, np.full((2, 2, 1), 2)], 2), pairs=pairs),
        "area": [300, 288],
        "data": {"id": np.array([7, 8]), "outline": Boxes(BOXES)},
    }
    objects = Instances(SIZE, Boxes(BOXES), [1, 0], **{**fields, **changes})
    semantic = np.full(SIZE, 3, np.int32)
    pixels = picture() if image is None else image
    return Sample(ImageInfo(0, None, SIZE), pixels, objects, semantic, np.ones(2, np.float32))


def applied(transform, given=None, seed=0, **fields):
    adapter = Albumentations(transform=transform, **fields)
    return adapter.apply(given or sample(), None, np.random.default_rng(seed))


def test_a_mirror_moves_all_annotations(A):
    found = applied(A.HorizontalFlip(p=1.0))
    assert (found.image == picture()[:, ::-1]).all()
    objects = found.instances
    np.testing.assert_allclose(np.asarray(objects.boxes), [[30, 5, 50, 20], [2, 22, 20, 38]],
                               atol=1e-4)  # fmt: skip
    assert objects.classes.tolist() == [1, 0]
    assert objects.data["id"].tolist() == [7, 8]
    np.testing.assert_allclose(np.asarray(objects.data["outline"]), np.asarray(objects.boxes),
                               atol=1e-3)  # fmt: skip
    bright = found.image[..., 0] > 128
    assert (objects.masks.bitmaps().any(axis=0) == bright).all()
    # The left point of the mirrored object is the one that was right: x becomes 60 - x.
    np.testing.assert_allclose(objects.keypoints.values[0], [[34, 8, 2], [48, 8, 2]], atol=1e-4)
    assert (found.semantic == 3).all()
    assert found.semantic.dtype == np.int32
    np.testing.assert_allclose(found.info.placement, [[-1, 0, 60], [0, 1, 0], [0, 0, 1]], atol=1e-4)
    assert found.labels.tolist() == [1, 1]


def test_a_mirror_needs_the_pairs_of_keypoints(A, caplog):
    given = sample(pairs=None)
    found = applied(A.HorizontalFlip(p=1.0), given)
    assert found is given
    assert "left and right" in caplog.text


def test_a_crop_removes_by_our_visibility(A):
    # Of the first object, 8 of 20 columns remain; the second is outside.
    crop = A.Crop(x_min=0, y_min=0, x_max=18, y_max=40, p=1.0)
    found = applied(crop, min_visibility=0.4)
    assert found.image.shape == (40, 18, 3)
    assert found.instances.size == (40, 18)
    np.testing.assert_allclose(np.asarray(found.instances.boxes), [[10, 5, 18, 20]], atol=1e-4)
    assert found.instances.data["id"].tolist() == [7]
    assert found.instances.masks.bitmaps().sum() == 8 * 15
    assert found.instances.masks.size == (40, 18)
    assert found.instances.area is None
    assert found.semantic.shape == (40, 18)
    assert len(applied(crop, min_visibility=0.41).instances) == 0
    assert len(applied(A.Crop(x_min=31, y_min=0, x_max=39, y_max=40, p=1.0)).instances) == 0


def test_pixels_alone_keep_annotations_exactly(A):
    given = sample()
    found = applied(A.GaussNoise(p=1.0), given)
    assert (found.image != given.image).any()
    assert found.image.dtype == np.uint8
    assert found.instances is given.instances
    assert found.semantic is given.semantic
    assert (given.image == picture()).all()


def test_it_is_reproducible_and_its_parts_are_independent(A):
    pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.GaussNoise(p=0.5)])
    adapter = Albumentations(transform=pipeline)
    images = [adapter.apply(sample(), None, np.random.default_rng(s)).image for s in range(24)]
    again = pickle.loads(pickle.dumps(adapter))  # noqa: S301
    for seed in reversed(range(24)):
        repeated = again.apply(sample(), None, np.random.default_rng(seed)).image
        assert (repeated == images[seed]).all()
    with ThreadPoolExecutor(4) as pool:
        seeds = list(range(24)) * 2
        found = pool.map(
            lambda s: adapter.apply(sample(), None, np.random.default_rng(s)).image, seeds
        )
        assert all((a == images[s]).all() for a, s in zip(found, seeds, strict=True))
    kinds = {
        ((image[:, 0] != image[:, -1]).any(), image[8:18, 42:48].mean() > 120) for image in images
    }
    assert len(kinds) == 4  # all combinations of flip and noise


def test_a_compose_keeps_its_probability_but_not_its_filter(A):
    flips = Albumentations(transform=A.Compose([A.HorizontalFlip(p=1.0)], p=0.5))
    moved = [
        (flips.apply(sample(), None, np.random.default_rng(s)).image != picture()).any()
        for s in range(40)
    ]
    assert 8 < sum(moved) < 32


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(A, channels):
    image = picture()[..., :1].repeat(channels, axis=2)
    found = applied(A.HorizontalFlip(p=1.0), sample(image=image))
    assert (found.image == image[:, ::-1]).all()


def test_images_without_objects_boxes_or_masks(A):
    flip = A.HorizontalFlip(p=1.0)
    empty = Sample(ImageInfo(0, None, SIZE), picture())
    assert (applied(flip, empty).image == picture()[:, ::-1]).all()
    assert len(applied(flip, empty).instances) == 0
    none = Sample(ImageInfo(0, None, SIZE), picture(), Instances(SIZE, Boxes([]), []))
    assert len(applied(flip, none).instances) == 0
    full = sample().instances
    masks = Instances(SIZE, None, [1, 0], masks=full.masks)
    crop = A.Crop(x_min=0, y_min=0, x_max=35, y_max=40, p=1.0)
    found = applied(crop, Sample(ImageInfo(0, None, SIZE), picture(), masks)).instances
    assert found.classes.tolist() == [1]
    points = Instances(SIZE, None, [1, 0], keypoints=full.keypoints)
    found = applied(crop, Sample(ImageInfo(0, None, SIZE), picture(), points)).instances
    assert found.classes.tolist() == [1]


def test_rotated_boxes_keep_their_angle(A):
    boxes = RotatedBoxes([[20, 15, 12, 6, 30], [45, 25, 10, 4, -60]])
    objects = Instances(SIZE, boxes, [0, 1])
    given = Sample(ImageInfo(0, None, SIZE), picture(), objects)
    found = applied(A.HorizontalFlip(p=1.0), given).instances.boxes
    np.testing.assert_allclose(
        np.asarray(found), [[40, 15, 12, 6, -30], [15, 25, 10, 4, 60]], atol=1e-3
    )


def test_it_is_a_value(A):
    compose = A.Compose([A.HorizontalFlip(p=1.0)])
    config = compose.to_dict()
    from_object = Albumentations(transform=compose, min_visibility=0.3)
    fields = load_yaml(dump_yaml(from_object.to_dict()))
    from_config = Transform.from_dict(fields)
    assert from_config.transform == config
    assert from_config.min_visibility == 0.3
    one = from_config.apply(sample(), None, np.random.default_rng(0))
    assert (one.image == picture()[:, ::-1]).all()


def test_a_name_is_imported_when_it_is_applied(A, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_albu_module.py").write_text(
        "import albumentations as A\nflip = A.HorizontalFlip(p=1.0)\nvalue = 3\n"
    )
    found = applied("my_albu_module:flip")
    assert (found.image == picture()[:, ::-1]).all()
    with pytest.raises(UserError, match="'my_albu_module:value' is not a transform"):
        applied("my_albu_module:value")
    with pytest.raises(UserError, match="has no name 'flop'"):
        applied("my_albu_module:flop")
    sys.modules.pop("my_albu_module", None)


@pytest.mark.parametrize(
    "value", [3, {"p": 1}, {"transform": 3}, {"transform": {"p": 1}}, [1], len]
)
def test_other_values_are_refused(value):
    with pytest.raises(ConfigError, match="to_dict"):
        Albumentations(transform=value)


def test_wrong_configs_and_results(A):
    flip = {"__class_fullname__": "NoSuchTransform", "p": 1.0}
    with pytest.raises(UserError, match="cannot build the transform") as caught:
        applied({"transform": flip})
    assert "NoSuchTransform" in str(caught.value)
    with pytest.raises(UserError, match=r"float32.*\n.*Normalize or ToFloat"):
        applied(A.ToFloat(p=1.0))
    extra = sample()
    extra.extra["depth"] = np.zeros(SIZE, np.float32)
    with pytest.raises(UserError, match="'depth' of extra"):
        applied(A.HorizontalFlip(p=1.0), extra)


def test_an_error_inside_is_explained(A):
    if installed():
        pytest.skip("the stand-in has a transform that fails")
    with pytest.raises(UserError, match="RuntimeError: no such mode"):
        applied(A.Fails(p=1.0))


CONFIG = {"transform": {"__class_fullname__": "HorizontalFlip", "p": 1.0}}


def no_other_path(monkeypatch, *folders):
    kept = [p for p in sys.path if not (Path(p) / "albumentations").is_dir()]
    monkeypatch.setattr(sys, "path", [*map(str, folders), *kept])


def test_the_package_is_missing(monkeypatch):
    no_other_path(monkeypatch)
    adapter = Albumentations(transform=CONFIG)  # reading a recipe imports nothing
    assert adapter.to_dict()["transform"] == CONFIG
    for call in (adapter.resolve, lambda: applied(CONFIG)):
        with pytest.raises(UserError, match="albumentations is not installed") as caught:
            call()
        assert caught.value.fix == "pip install albumentations==2.0.8"


@pytest.mark.parametrize("version", ["1.4.0", "3.0.0"])
def test_other_versions_are_refused(tmp_path, monkeypatch, version):
    distribution(tmp_path, "albumentations", version)
    no_other_path(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=f"albumentations {version} is not supported"):
        applied(CONFIG)


def test_albumentationsx_is_refused_before_it_is_imported(tmp_path, monkeypatch):
    """It provides the module `albumentations` under another license."""
    (tmp_path / "albumentations").mkdir()
    (tmp_path / "albumentations" / "__init__.py").write_text("raise SystemExit('imported')\n")
    distribution(tmp_path, "albumentationsx", "2.1.0")
    distribution(tmp_path, "albumentations", "2.0.8")
    no_other_path(monkeypatch, tmp_path)
    monkeypatch.delitem(sys.modules, "albumentations", raising=False)
    with pytest.raises(UserError, match="AGPL") as caught:
        applied(CONFIG)
    assert "pip uninstall albumentationsx" in caught.value.fix


def test_it_asks_no_server_for_updates(tmp_path):
    distribution(tmp_path, "albumentations", "2.0.8")
    code = (
        f"import sys; sys.path[:0] = [{str(STAND_IN)!r}, {str(tmp_path)!r}]\n"
        "from visiongarden.transforms import Albumentations\n"
        "assert 'albumentations' not in sys.modules\n"
        f"Albumentations(transform={CONFIG!r}).resolve()\n"
        "print(sys.modules['albumentations'].UPDATES_WERE_OFF)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.skipif(not installed(), reason="albumentations 2.0 is not installed")
@pytest.mark.parametrize("seed", range(4))
def test_the_package_itself_moves_objects(seed):
    import albumentations as A  # noqa: N812

    for transform in (
        A.Affine(rotate=(-25, 25), scale=(0.8, 1.2), p=1.0),
        A.Perspective(p=1.0),
        A.D4(p=1.0),
        A.RandomResizedCrop(size=SIZE, scale=(0.5, 1), p=1.0),
        A.Compose([A.HorizontalFlip(p=0.5), A.Rotate(limit=30, p=0.9)]),
    ):
        found = applied(transform, seed=seed, min_visibility=0.5)
        bright = found.image[..., 0] > 128
        union = np.zeros_like(bright)
        for box, mask in zip(
            np.asarray(found.instances.boxes), found.instances.masks.bitmaps(), strict=True
        ):
            ys, xs = np.nonzero(mask)
            np.testing.assert_allclose(
                box, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=1.6
            )
            union |= mask
        if len(found.instances) == 2:
            assert (union ^ bright).sum() < 0.15 * bright.sum()
