"""Batches of an epoch are reproducible for any number of workers, and no box is lost."""

import gc
import importlib
import tracemalloc

import cv2
import numpy as np
import pytest

from visiongarden.data import DetectionDataset, Loader, read
from visiongarden.doctor.checking import check
from visiongarden.doctor.sheet import contact_sheet
from visiongarden.errors import DataError, UserError
from visiongarden.scenes import make_scenes
from visiongarden.transforms import Augmentation
from visiongarden.types import ClassMap, Example


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return read(make_scenes(tmp_path_factory.mktemp("data") / "scenes", 12, (48, 64)))


def loader(dataset, **options):
    return Loader(dataset, **({"image_size": (64, 64), "batch_size": 4} | options))


def same(a, b):
    return all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in x.__dataclass_fields__
    )


checking = importlib.import_module("visiongarden.doctor.checking")
EVERYTHING = Augmentation(mixup=0.5, mosaic9=0.5, degrees=20, cutout=0.5, perspective=0.1)
VARIED = {"augmentation": Augmentation(), "shuffle": True, "seed": 3}


def test_epochs_repeat_and_differ(scenes):
    first = list(loader(scenes, **VARIED).epoch(0))
    assert same(first, list(loader(scenes, **VARIED).epoch(0)))
    assert not same(first, list(loader(scenes, **VARIED).epoch(1)))
    assert not same(first, list(loader(scenes, **(VARIED | {"seed": 4})).epoch(0)))
    assert not same(first, list(loader(scenes, **VARIED).epoch(0, mosaic=False)))


@pytest.mark.slow
def test_workers_change_nothing(scenes):
    options = VARIED | {"augmentation": Augmentation(mixup=0.5, degrees=10, multi_scale=0.5)}
    alone = list(loader(scenes, **options).epoch(2))
    for workers in (1, 2):
        assert same(alone, list(loader(scenes, **options, workers=workers).epoch(2)))


def test_batches_of_several_sizes(scenes):
    settings = Augmentation(multi_scale=0.5)
    options = VARIED | {"image_size": (96, 128), "augmentation": settings, "batch_size": 2}
    one = loader(scenes, **options)
    assert one.sizes == ((64, 64), (64, 96), (96, 128), (128, 160), (160, 192))
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == set(one.sizes)
    assert {batch.boxes.shape for batch in batches} == {(2, one.max_boxes, 4)}
    again = [batch for epoch in range(4) for batch in loader(scenes, **options).epoch(epoch)]
    assert same(batches, again)
    for batch in batches:
        height, width = batch.images.shape[1:3]
        assert (batch.boxes <= [width, height, width, height]).all()


def test_a_sheet_has_cells_of_one_size(scenes):
    for settings in (Augmentation(), Augmentation(multi_scale=0.5)):
        assert contact_sheet(scenes, (64, 64), settings, 6, 3).shape == (146, 216, 3)


@pytest.mark.parametrize(("size", "share", "step", "longest"), [
    (320, 0.25, 32, [256, 288, 320, 352, 384]),
    (640, 0.5, 32, [320, 480, 640, 800, 960]),
    (416, 0.25, 32, [320, 352, 416, 480, 512]),
    (64, 0.5, 32, [32, 64, 96]),
    (100, 0.3, 10, [70, 80, 100, 120, 130]),
    (100, 0.0, 32, [100]),
])  # fmt: skip
def test_up_to_five_sizes_around_the_given_one(scenes, size, share, step, longest):
    settings = Augmentation(multi_scale=share)
    one = loader(scenes, image_size=(size, size), augmentation=settings, size_step=step)
    assert one.sizes == tuple((side, side) for side in longest)


@pytest.mark.parametrize(("size", "share", "message"), [
    ((64, 64), 0.25, "multi_scale=0.5"),
    ((96, 64), 0.3, "multi_scale=0.334"),
    ((32, 32), 0.5, "image_size=64, multi_scale=0.5"),
    ((64, 80), 0.5, "multiples of the largest stride, 32"),
])  # fmt: skip
def test_invalid_sizes(scenes, size, share, message):
    with pytest.raises(UserError, match=message):
        loader(scenes, image_size=size, augmentation=Augmentation(multi_scale=share))


def test_large_images_are_decoded_smaller_and_boxes_follow(tmp_path):
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[120:240, 320:480] = 255
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    one = Example(
        np.array([[320, 120, 480, 240]], np.float32), np.zeros(1, np.int32),
        path=tmp_path / "a.jpg", size=(480, 640),
    )  # fmt: skip
    still = Augmentation(mosaic=0, flip=0, hsv=(0, 0, 0), translate=0, scale=0)
    for size in ((480, 640), (240, 320), (100, 133), (60, 80)):
        dataset = DetectionDataset(ClassMap(("a",)), (one,))
        batch = next(loader(dataset, image_size=size, augmentation=still, batch_size=1).epoch(0))
        rows, columns = np.nonzero(batch.images[0, ..., 0] > 127)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(batch.boxes[0, 0], seen, atol=1.5)
        assert batch.sizes[0].tolist() == [480, 640]


def test_no_example_exceeds_max_boxes():
    images = tuple(image([[0, 0, 32, 32]] * n) for n in (9, 1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9))
    settings = Augmentation(mosaic9=1, mixup=1, scale=0, translate=0, min_visibility=0)
    one = loader(DetectionDataset(ClassMap(("a",)), images), augmentation=settings)
    assert one.max_boxes == 36
    counts = [int(n) for e in range(5) for b in one.epoch(e) for n in (b.classes >= 0).sum(axis=1)]
    assert max(counts) <= 36


def test_memory_does_not_grow_over_epochs(tmp_path):
    dataset = read(make_scenes(tmp_path / "scenes", 16, (160, 160)))
    one = loader(dataset, augmentation=EVERYTHING, shuffle=True, image_size=(160, 160))
    one._images.keep = False
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


def test_evaluation_sees_every_image_once_and_in_place(scenes):
    batches = list(loader(scenes, batch_size=5).epoch(0))
    ids = np.concatenate([batch.image_ids for batch in batches])
    assert ids.tolist() == [example.image_id for example in scenes]
    batch = batches[0]
    assert batch.images.shape == (5, 64, 64, 3)
    assert batch.images.dtype == np.uint8
    for row in range(5):
        own = scenes[row].boxes
        back = (batch.boxes[row, : len(own)] - np.tile(batch.offsets[row], 2)) / np.tile(
            batch.scales[row], 2
        )
        np.testing.assert_allclose(back, own, atol=1e-3)
        assert (batch.classes[row, len(own) :] == -1).all()
        assert batch.sizes[row].tolist() == [48, 64]


@pytest.mark.parametrize(
    ("count", "drop", "batches"), [(10, False, 3), (10, True, 2), (4, True, 1), (0, False, 0)]
)
def test_length(count, drop, batches):
    examples = tuple(image([[1, 1, 9, 9]]) for _ in range(count))
    one = loader(DetectionDataset(ClassMap(("a",)), examples), drop_remainder=drop)
    assert len(one) == batches
    if count:
        assert len(list(one.epoch(0))) == batches


def image(boxes, crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Example(
        boxes,
        np.zeros(len(boxes), np.int32),
        np.zeros((32, 32, 3), np.uint8),
        crowd=np.array(crowd, bool) if crowd else None,
    )


def test_max_boxes_holds_every_box():
    many = image([[0, 0, 32, 32]] * 30)
    dataset = DetectionDataset(ClassMap(("a",)), (many, image([])))
    settings = Augmentation(scale=0, translate=0)
    one = loader(dataset, batch_size=2, augmentation=settings)
    assert one.max_boxes == 120
    counts = [(b.classes >= 0).sum() for e in range(5) for b in one.epoch(e)]
    assert max(counts) > 30
    with pytest.raises(UserError, match="is too small for this dataset"):
        loader(dataset, augmentation=settings, max_boxes=100)


def test_crowds_are_evaluated_but_never_trained_on():
    dataset = DetectionDataset(
        ClassMap(("a",)), (image([[0, 0, 9, 9], [5, 5, 20, 20]], [True, False]),)
    )
    validated = next(loader(dataset, batch_size=1).epoch(0))
    assert validated.crowd.tolist() == [[True, False]]
    settings = Augmentation(mosaic=0, scale=0, translate=0, flip=0)
    trained = next(loader(dataset, batch_size=1, augmentation=settings).epoch(0))
    assert (trained.classes >= 0).sum() == 1
    assert trained.boxes[0, 0].tolist() == [10, 10, 40, 40]


@pytest.mark.parametrize(("off", "expected"), [(0, [1, 1, 1]), (2, [1, 0, 0]), (9, [0, 0, 0])])
def test_mosaics_stop_before_the_end(scenes, off, expected):
    one = loader(scenes, augmentation=Augmentation(mosaic_off_epochs=off))
    assert [one.mosaic_in(epoch, 3) for epoch in range(3)] == expected


@pytest.mark.parametrize("max_decoded", [0, 100])
def test_truncated_images_stop_training_on_small_and_large_sets(tmp_path, monkeypatch, max_decoded):
    monkeypatch.setattr(checking, "DECODED", max_decoded)
    dataset = read(make_scenes(tmp_path / "scenes", 12, (48, 64)))
    check(dataset)
    for index in (2, 5):
        path = dataset[index].path
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="has 2 errors") as caught:
        check(dataset)
    assert dataset[5].path.name in str(caught.value)
