"""Batches of an epoch are reproducible for any number of workers, and no object is lost."""

import gc
import importlib
import pickle
import tracemalloc

import cv2
import numpy as np
import pytest

from visiongarden.data import Dataset, Loader, read
from visiongarden.data.decoded import DecodedSamples, Detail
from visiongarden.data.rows import upright
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError, UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, Sample
from visiongarden.scenes import make_scenes
from visiongarden.transforms import (
    HSV,
    Affine,
    CenterCrop,
    HorizontalFlip,
    Letterbox,
    MixUp,
    Mosaic,
    Perspective,
    RandomErasing,
    Transform,
)
from visiongarden.types import ClassMap


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return read(make_scenes(tmp_path_factory.mktemp("data") / "scenes", 12, (48, 64)))


def loader(dataset, **options):
    return Loader(dataset, **({"image_size": (64, 64), "batch_size": 4} | options))


def same(a, b):
    return all(
        np.array_equal(x.images, y.images)
        and x.targets.keys() == y.targets.keys()
        and all(np.array_equal(x.targets[name], y.targets[name]) for name in x.targets)
        and all(np.array_equal(one, other) for one, other in zip(x.info, y.info, strict=True))
        for x, y in zip(a, b, strict=True)
    )


def count(batch):
    return (batch.targets["classes"] >= 0).sum(axis=1)


checking = importlib.import_module("visiongarden.doctor.checking")
DEFAULT = (Mosaic(skip_last_epochs=10), Affine(), HorizontalFlip(), HSV())
STILL = (Affine(scale=0, translate=0),)
EVERYTHING = (
    Mosaic(grid=3, probability=0.5),
    Affine(degrees=20),
    Perspective(),
    MixUp(probability=0.5),
    RandomErasing(probability=0.5),
    HSV(),
)
VARIED = {"transforms": DEFAULT, "shuffle": True, "seed": 3}


def test_epochs_repeat_and_differ(scenes):
    first = list(loader(scenes, **VARIED).epoch(0))
    assert same(first, list(loader(scenes, **VARIED).epoch(0)))
    assert not same(first, list(loader(scenes, **VARIED).epoch(1)))
    assert not same(first, list(loader(scenes, **(VARIED | {"seed": 4})).epoch(0)))


def test_transforms_stop_before_the_end_of_a_run(scenes):
    one = loader(scenes, **VARIED)
    whole = loader(scenes, **(VARIED | {"transforms": (Mosaic(), *DEFAULT[1:])}))
    assert same(one.epoch(4, epochs=15), whole.epoch(4, epochs=15))
    assert not same(one.epoch(5, epochs=15), whole.epoch(5, epochs=15))
    transforms = (Mosaic(probability=0), *DEFAULT[1:])
    without = loader(scenes, **(VARIED | {"transforms": transforms, "capacity": one.capacity}))
    assert same(one.epoch(14, epochs=15), without.epoch(14, epochs=15))


@pytest.mark.slow
def test_workers_change_nothing(scenes):
    options = VARIED | {"transforms": EVERYTHING, "multi_scale": 0.5}
    alone = list(loader(scenes, **options).epoch(2))
    for workers in (1, 2):
        assert same(alone, list(loader(scenes, **options, workers=workers).epoch(2)))


def test_a_loader_can_be_sent_to_another_process(scenes):
    one = loader(scenes, **VARIED)
    batches = list(one.epoch(0))
    assert same(batches, pickle.loads(pickle.dumps(one)).epoch(0))  # noqa: S301


def test_iterating_gives_images_and_targets_of_one_epoch_after_another(scenes):
    one = loader(scenes, **VARIED)
    for number in range(2):
        for (images, targets), batch in zip(one, one.epoch(number), strict=True):
            assert np.array_equal(images, batch.images)
            assert targets.keys() == {"boxes", "classes"}
            assert np.array_equal(targets["boxes"], batch.targets["boxes"])


def test_batches_of_several_sizes(scenes):
    options = VARIED | {"image_size": (96, 128), "multi_scale": 0.5, "batch_size": 2}
    one = loader(scenes, **options)
    assert one.sizes == ((64, 64), (64, 96), (96, 128), (128, 160), (160, 192))
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == set(one.sizes)
    assert {batch.targets["boxes"].shape for batch in batches} == {(2, one.capacity, 4)}
    again = [batch for epoch in range(4) for batch in loader(scenes, **options).epoch(epoch)]
    assert same(batches, again)
    for batch in batches:
        height, width = batch.images.shape[1:3]
        assert (batch.targets["boxes"] <= [width, height, width, height]).all()


@pytest.mark.parametrize(("size", "share", "step", "longest"), [
    (320, 0.25, 32, [256, 288, 320, 352, 384]),
    (640, 0.5, 32, [320, 480, 640, 800, 960]),
    (416, 0.25, 32, [320, 352, 416, 480, 512]),
    (64, 0.5, 32, [32, 64, 96]),
    (100, 0.3, 10, [70, 80, 100, 120, 130]),
    (100, 0.0, 32, [100]),
])  # fmt: skip
def test_up_to_five_sizes_around_the_given_one(scenes, size, share, step, longest):
    options = {"transforms": DEFAULT, "multi_scale": share, "size_step": step}
    one = loader(scenes, image_size=(size, size), **options)
    assert one.sizes == tuple((side, side) for side in longest)


@pytest.mark.parametrize(("size", "share", "message"), [
    ((64, 64), 0.25, "multi_scale=0.5"),
    ((96, 64), 0.3, "multi_scale=0.334"),
    ((32, 32), 0.5, "image_size=64, multi_scale=0.5"),
    ((64, 80), 0.5, "multiples of the largest stride, 32"),
])  # fmt: skip
def test_invalid_sizes(scenes, size, share, message):
    with pytest.raises(UserError, match=message):
        loader(scenes, image_size=size, transforms=DEFAULT, multi_scale=share)


def test_large_images_are_decoded_smaller_and_boxes_follow(tmp_path):
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[120:240, 320:480] = 255
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    one = Sample(
        ImageInfo(0, tmp_path / "a.jpg", (480, 640)),
        instances=Instances((480, 640), Boxes([[320, 120, 480, 240]]), [0]),
    )
    for size in ((480, 640), (240, 320), (100, 133), (60, 80)):
        dataset = Dataset(ClassMap(("a",)), (one,))
        for transforms in (STILL, (), None):
            options = {"image_size": size, "transforms": transforms, "batch_size": 1}
            batch = next(loader(dataset, **options).epoch(0))
            rows, columns = np.nonzero(batch.images[0, ..., 0] > 127)
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(batch.targets["boxes"][0, 0], seen, atol=1.5)
            assert batch.info.sizes[0].tolist() == [480, 640]


def test_no_sample_exceeds_the_capacity():
    images = tuple(image([[0, 0, 32, 32]] * n) for n in (9, 1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9))
    transforms = (Mosaic(grid=3), Affine(scale=0, translate=0), MixUp())
    one = loader(dataset_of(*images), transforms=transforms, min_visibility=0)
    assert one.capacity == 36
    assert max(int(n) for e in range(5) for batch in one.epoch(e) for n in count(batch)) <= 36


@pytest.mark.slow
def test_memory_does_not_grow_over_epochs(tmp_path):
    dataset = read(make_scenes(tmp_path / "scenes", 16, (160, 160)))
    one = loader(dataset, transforms=EVERYTHING, shuffle=True, image_size=(160, 160))
    one.samples.max_kept = 4
    for number in range(3):
        list(one.epoch(number))
    gc.collect()
    tracemalloc.start()
    try:
        list(one.epoch(3))
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(4, 10):
            list(one.epoch(number))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 160 * 160 * 3  # less than one image in six epochs


def test_images_of_many_channels_keep_the_cache_small(monkeypatch):
    # The number of images is chosen for 8-bit RGB; these are 16 times as large.
    decoded = importlib.import_module("visiongarden.data.decoded")
    monkeypatch.setattr(decoded, "CACHE_BYTES", 6 * 3 * 8 * 8)
    image = np.zeros((8, 8, 12), np.float32)
    samples = [Sample(ImageInfo(i, None, (8, 8)), image + i) for i in range(5)]
    dataset = Dataset(ClassMap(("a",)), samples)
    found = DecodedSamples(dataset, (8, 8), Detail(), 0, 0)
    for index in (0, 1, 2, 3, 4, 0):
        assert found[index].image.max() == index
        assert sum(one.image.nbytes for one in found._kept.values()) <= decoded.CACHE_BYTES
        assert found._bytes == sum(one.image.nbytes for one in found._kept.values())


def test_pixels_in_memory_have_the_size_of_their_annotations():
    image = np.zeros((10, 20, 3), np.uint8)
    swapped = Sample(
        ImageInfo(0, None, (20, 10)), image, Instances((20, 10), Boxes([[0, 0, 5, 5]]), [0])
    )
    with pytest.raises(DataError, match="the image of sample 0: the image has 20 × 10 pixels"):
        Dataset(ClassMap(("a",)), [swapped]).load(0)
    unknown = Dataset(ClassMap(("a",)), [Sample(ImageInfo(0, None, (0, 0)), image)])
    (batch,) = loader(unknown, batch_size=1).epoch(0)
    assert batch.info.sizes.tolist() == [[10, 20]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("transforms", [None, ()])
def test_semantic_masks_keep_their_type(dtype, transforms):
    mask = np.zeros((10, 20), dtype)
    mask[:, 10:] = 200 if dtype == np.uint8 else 300
    sample = Sample(ImageInfo(0, None, (10, 20)), np.zeros((10, 20, 3), np.uint8), semantic=mask)
    dataset = Dataset(ClassMap(("a",)), [sample])
    (batch,) = loader(dataset, image_size=(5, 10), batch_size=1, transforms=transforms).epoch(0)
    assert np.unique(batch.targets["semantic"]).tolist() == [0, mask.max()]


def test_transforms_cannot_change_annotations_in_place():
    class Wrong(Transform):
        def apply(self, sample, context, rng):
            sample.labels[0] = 0
            return sample

    labels = np.array([0, 1], np.float32)
    sample = Sample(ImageInfo(0, None, (8, 8)), np.zeros((8, 8, 3), np.uint8), labels=labels)
    dataset = Dataset(ClassMap(("a", "b")), [sample])
    with pytest.raises(UserError, match="Wrong changes an array of its sample in place"):
        loader(dataset, transforms=(Wrong(),), image_size=(8, 8)).sample(0)


@pytest.mark.parametrize("pairs", [None, ((0, 1),)])
def test_flips_that_are_off_are_logged_once(pairs, caplog):
    points = Keypoints([[[1, 1, 2], [5, 1, 2]]], pairs=pairs)
    objects = Instances((8, 8), Boxes([[0, 0, 6, 6]]), [0], keypoints=points)
    samples = [Sample(ImageInfo(0, None, (8, 8)), np.zeros((8, 8, 3), np.uint8), objects)]
    one = loader(Dataset(ClassMap(("a",)), samples), transforms=(HorizontalFlip(probability=1),))
    for epoch in range(3):
        list(one.epoch(epoch))
    assert caplog.text.count("flips are off") == (pairs is None)


def test_evaluation_sees_every_image_once_and_in_place(scenes):
    batches = list(loader(scenes, batch_size=5).epoch(0))
    ids = np.concatenate([batch.info.ids for batch in batches])
    assert ids.tolist() == [sample.info.id for sample in scenes]
    batch = batches[0]
    assert batch.images.shape == (5, 64, 64, 3)
    assert batch.images.dtype == np.uint8
    for row in range(5):
        own = np.asarray(scenes[row].instances.boxes)
        back = batch.info.placement(row).undo(batch.targets["boxes"][row, : len(own)])
        np.testing.assert_allclose(back, own, atol=1e-3)
        assert (batch.targets["classes"][row, len(own) :] == -1).all()
        assert batch.info.sizes[row].tolist() == [48, 64]
        np.testing.assert_array_equal(
            batch.images[row], Letterbox().place(scenes.load(row).image, (64, 64))[0]
        )


def test_covering_images_are_cropped_at_the_center(scenes):
    batch = next(loader(scenes, resize=CenterCrop()).epoch(0))
    for row in range(4):
        expected, placement = CenterCrop().place(scenes.load(row).image, (64, 64))
        np.testing.assert_array_equal(batch.images[row], expected)
        np.testing.assert_allclose(batch.info.offsets[row], placement.offset)


@pytest.mark.parametrize(
    ("images", "drop", "batches"), [(10, False, 3), (10, True, 2), (4, True, 1), (0, False, 0)]
)
def test_length(images, drop, batches):
    one = loader(dataset_of(*(image([[1, 1, 9, 9]]) for _ in range(images))), drop_remainder=drop)
    assert len(one) == batches
    if images:
        assert len(list(one.epoch(0))) == batches


def image(boxes, crowd=None, **fields):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    instances = Instances((32, 32), Boxes(boxes), np.zeros(len(boxes), int), crowd=crowd, **fields)
    return Sample(ImageInfo(0, None, (32, 32)), np.zeros((32, 32, 3), np.uint8), instances)


def dataset_of(*samples):
    return Dataset(ClassMap(("a",)), samples)


def test_capacity_holds_every_object():
    dataset = dataset_of(image([[0, 0, 32, 32]] * 30), image([]))
    transforms = (Mosaic(), Affine(scale=0, translate=0))
    one = loader(dataset, batch_size=2, transforms=transforms)
    assert one.capacity == 120
    assert max(count(batch).sum() for e in range(5) for batch in one.epoch(e)) > 30
    with pytest.raises(UserError, match="is too small for this dataset"):
        loader(dataset, transforms=transforms, capacity=100)


def test_crowds_are_evaluated_but_never_trained_on():
    dataset = dataset_of(image([[0, 0, 9, 9], [5, 5, 20, 20]], [True, False]))
    validated = next(loader(dataset, batch_size=1).epoch(0))
    assert validated.targets["crowd"].tolist() == [[True, False]]
    trained = next(loader(dataset, batch_size=1, transforms=STILL).epoch(0))
    assert "crowd" not in trained.targets
    assert count(trained).sum() == 1
    assert trained.targets["boxes"][0, 0].tolist() == [10, 10, 40, 40]


def test_masks_and_keypoints_are_targets_too():
    box = [[8, 8, 24, 16]]
    ring = [[[8, 8, 24, 8, 24, 16, 8, 16]]]
    one = image(
        box,
        masks=Masks.from_polygons(ring, (32, 32)),
        keypoints=Keypoints([[[8, 8, 2], [24, 16, 1], [0, 0, 0]]], pairs=()),
    )
    batch = next(loader(dataset_of(one), batch_size=1).epoch(0))
    assert batch.targets["boxes"].tolist() == [[[16, 16, 48, 32]]]
    expected = np.zeros((16, 16), np.uint8)
    expected[4:8, 4:12] = 1  # cells of four pixels
    np.testing.assert_array_equal(batch.targets["masks"], expected[None, None])
    np.testing.assert_array_equal(
        batch.targets["keypoints"], [[[[16, 16, 2], [48, 32, 1], [0, 0, 0]]]]
    )


def test_upright_boxes_surround_rotated_ones():
    found = upright(
        np.array([[10, 20, 8, 4, 0], [10, 20, 8, 4, -90], [0, 0, 2, 2, 45]], np.float32)
    )
    root = 2**0.5
    np.testing.assert_allclose(
        found, [[6, 18, 14, 22], [8, 16, 12, 24], [-root, -root, root, root]], atol=1e-6
    )


@pytest.mark.parametrize("max_decoded", [0, 100])
def test_truncated_images_stop_training_on_small_and_large_sets(tmp_path, monkeypatch, max_decoded):
    monkeypatch.setattr(checking, "DECODED", max_decoded)
    dataset = read(make_scenes(tmp_path / "scenes", 12, (48, 64)))
    check(dataset)
    for index in (2, 5):
        path = dataset.image_path(index)
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="has 2 errors") as caught:
        check(dataset)
    assert dataset.image_path(5).name in str(caught.value)
