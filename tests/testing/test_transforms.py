"""`check` of transforms: a zoo of wrong ones, each with its finding, and all of visiongarden's."""

import dataclasses
import random
from typing import ClassVar

import numpy as np
import pytest
from pydantic import field_validator

import visiongarden as vg
from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.samples import Keypoints
from visiongarden.testing import check_component, marked_samples
from visiongarden.transforms import Function, Transform, Warp
from visiongarden.transforms.transform import size_of


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Register the classes of this module for each test alone."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))


def shifted(image, x):
    return np.roll(image, x, axis=1)


class MovesPixelsAlone(Transform):
    def apply(self, sample, context, rng):
        return dataclasses.replace(sample, image=shifted(sample.image, 9))


class MovesBoxesAlone(Transform):
    def apply(self, sample, context, rng):
        matrix = np.array([[1, 0, 9], [0, 1, 0], [0, 0, 1]])
        moved = sample.instances.warp(matrix, sample.image.shape[:2])
        return dataclasses.replace(sample, instances=moved)


class MovesMasksNot(Warp):
    random: ClassVar[bool] = False

    def matrix(self, sample, context, rng):
        return np.array([[1, 0, 30], [0, 1, 20], [0, 0, 1]]), size_of(sample)

    def apply(self, sample, context, rng):
        found, masks = super().apply(sample, context, rng), sample.instances.masks
        if masks is None or not len(masks):
            return found
        rows = found.instances.data["row"]
        return dataclasses.replace(found, instances=found.instances.replace(masks=masks[rows]))


class DropsTheFirst(Transform):
    def apply(self, sample, context, rng):
        return dataclasses.replace(sample, instances=sample.instances[1:])


class WritesInPlace(Transform):
    def apply(self, sample, context, rng):
        sample.image[:10] = 0
        return sample


class TakesGlobalNumbers(Transform):
    def apply(self, sample, context, rng):
        noise = random.randrange(2, 40)
        return dataclasses.replace(sample, image=sample.image // noise)


class TakesNumPysNumbers(Transform):
    def apply(self, sample, context, rng):
        return dataclasses.replace(sample, image=sample.image // np.random.randint(2, 40))


class ReturnsFloats(Transform):
    def apply(self, sample, context, rng):
        return dataclasses.replace(sample, image=(sample.image * 0.5).astype(np.float32))


class ReturnsThreeChannels(Transform):
    def apply(self, sample, context, rng):
        gray = sample.image.mean(axis=2, keepdims=True).astype(sample.image.dtype)
        return dataclasses.replace(sample, image=gray.repeat(3, axis=2))


class ReturnsAnArray(Transform):
    def apply(self, sample, context, rng):
        return sample.image


class ReturnsNothing(Transform):
    def apply(self, sample, context, rng):
        sample.image + 1


class LeavesTheImage(Transform):
    """Shifts image and boxes, and does not clip."""

    def apply(self, sample, context, rng):
        image, boxes = shifted(sample.image, 30), sample.instances.boxes
        if boxes is None:
            return dataclasses.replace(sample, image=image)
        matrix = np.array([[1, 0, 30], [0, 1, 0], [0, 0, 1]])
        moved = sample.instances.replace(boxes=boxes.warp(matrix, image.shape[:2]))
        return dataclasses.replace(sample, image=image, instances=moved)


class DropsRowsOfOneField(Transform):
    def apply(self, sample, context, rng):
        objects = sample.instances
        if objects.classes is not None and len(objects):
            object.__setattr__(objects, "classes", objects.classes[1:])
        return sample


class ShortensOneField(Transform):
    def apply(self, sample, context, rng):
        objects = sample.instances
        if objects.boxes is None:
            return sample
        return dataclasses.replace(sample, instances=objects.replace(classes=objects.classes[1:]))


class UsesFieldsWrongly(Transform):
    """The error is raised by `Instances`; it does not mean that the sample is refused."""

    def apply(self, sample, context, rng):
        if sample.instances.boxes is None:
            return sample
        matrix = np.zeros((3, 3))
        return dataclasses.replace(sample, instances=sample.instances.warp(matrix, (9, 9)))


class DoesNotSwap(Warp):
    """A mirror that leaves left keypoints left."""

    random: ClassVar[bool] = False

    def matrix(self, sample, context, rng):
        height, width = size_of(sample)
        return np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]), (height, width)

    def apply(self, sample, context, rng):
        found = super().apply(sample, context, rng)
        points = found.instances.keypoints
        if points is None:
            return found
        values = points.values[:, [1, 0, 2]]
        again = Keypoints(values, points.names, points.pairs)
        return dataclasses.replace(found, instances=found.instances.replace(keypoints=again))


class LeavesKeypoints(Warp):
    random: ClassVar[bool] = False

    def matrix(self, sample, context, rng):
        return np.diag([1.0, 0.8, 1.0]), size_of(sample)

    def apply(self, sample, context, rng):
        found = super().apply(sample, context, rng)
        if found.instances.keypoints is None:
            return found
        points = sample.instances.keypoints[found.instances.data["row"]]
        return dataclasses.replace(found, instances=found.instances.replace(keypoints=points))


class LeavesClassesOfPixels(Transform):
    def apply(self, sample, context, rng):
        if len(sample.instances):
            raise UserError("no objects, please")
        return dataclasses.replace(sample, image=shifted(sample.image, 25))


class StatesThatItIsNotRandom(Transform):
    random: ClassVar[bool] = False

    def apply(self, sample, context, rng):
        return dataclasses.replace(sample, image=sample.image // int(rng.integers(1, 30)))


class NeedsObjects(Transform):
    def apply(self, sample, context, rng):
        boxes = sample.instances.boxes
        if boxes is not None:
            np.asarray(boxes).min(axis=0)
        return sample


class ReturnsAFlatMatrix(Warp):
    def matrix(self, sample, context, rng):
        return np.eye(2), size_of(sample)


class Fails(Transform):
    def apply(self, sample, context, rng):
        return sample.picture


class TakesPercent(Transform):
    """Divides its field by 100 each time that it is validated."""

    strength: float = 50

    @field_validator("strength")
    @classmethod
    def _fraction(cls, value):
        return value / 100

    def apply(self, sample, context, rng):
        return sample


ZOO = {
    MovesPixelsAlone: ("boxes_follow", "is visible at"),
    MovesBoxesAlone: ("boxes_follow", "is visible at"),
    MovesMasksNot: ("masks_follow", "covered by its mask"),
    DropsTheFirst: ("objects_kept", "object 0 is removed, but still visible at [12, 10, 46, 40]"),
    WritesInPlace: ("input_unchanged", "sample.image is changed in place"),
    TakesGlobalNumbers: ("repeatable", "the image differs between two calls"),
    TakesNumPysNumbers: ("repeatable", "the image differs between two calls"),
    ReturnsFloats: ("keeps_pixel_type", "becomes float32 with 3 channels"),
    ReturnsThreeChannels: ("keeps_pixel_type", "uint8 with 1 channel becomes uint8 with 3"),
    ReturnsAnArray: ("returns_sample", "apply returns ndarray, not a Sample"),
    ReturnsNothing: ("returns_sample", "apply returns NoneType"),
    LeavesTheImage: ("boxes_inside", "leaves the image of 160 × 120 pixels"),
    DropsRowsOfOneField: ("equal_lengths", "boxes: 5, classes: 4"),
    ShortensOneField: ("equal_lengths", "'boxes' and 'classes' of the instances have different"),
    UsesFieldsWrongly: ("runs", "cannot be inverted"),
    DoesNotSwap: ("keypoints_follow", "left and right are not swapped"),
    LeavesKeypoints: ("keypoints_follow", "keypoints of object"),
    LeavesClassesOfPixels: ("semantic_follows", "has its id in the semantic mask"),
    StatesThatItIsNotRandom: ("random_declared", "the class states random = False"),
    NeedsObjects: ("no_objects", "ValueError"),
    ReturnsAFlatMatrix: ("runs", "invalid shape"),
    Fails: ("runs", "AttributeError: 'Sample' object has no attribute 'picture'"),
    TakesPercent: ("round_trip", "0.005"),
}


@pytest.mark.parametrize("wrong", ZOO, ids=lambda cls: cls.__name__)
def test_each_wrong_transform_is_found(wrong):
    vg.register(package="zoo")(wrong)
    check, evidence = ZOO[wrong]
    report = check_component(wrong)
    assert report[check].status == "failed", str(report)
    assert evidence in report[check].evidence
    assert report[check].advice
    assert not report.ok
    # No more than what follows from the same mistake.
    also = {"boxes_follow", "masks_follow", "keypoints_follow", "semantic_follows"}
    also |= {"runs", "random_declared"}
    assert {f.check for f in report.failures} - {check} <= also


def test_an_unregistered_transform_is_found():
    report = check_component(MovesPixelsAlone())
    assert report["registered"].status == "failed"
    assert '@vg.register(package="my_project")' in report["registered"].advice


OURS = [kind for kind in Transform.kinds().values() if kind is not Function]


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_each_transform_of_visiongarden_is_valid(kind):
    if "Albumentations" in kind.__name__:
        pytest.skip("needs a transform of albumentations; tests/transforms has its tests")
    report = check_component(kind)
    assert report.ok, str(report)
    assert report["boxes_follow"].status == "passed"


def test_functions_are_checked():
    def brighten(image, rng):
        return image // 2 + 100

    report = check_component(Function(function=brighten), skip=("round_trip",))
    assert report.ok, str(report)


@vg.register(package="zoo")
class Turned(Warp):
    """A valid transform with a field without default."""

    examples: ClassVar[dict] = {"config": {"degrees": 20}}
    degrees: float

    def matrix(self, sample, context, rng):
        height, width = size_of(sample)
        a = np.radians(self.degrees * rng.uniform(-1, 1))
        matrix = np.array([[np.cos(a), -np.sin(a), 20], [np.sin(a), np.cos(a), 9], [0, 0, 1]])
        return matrix, (height + 10, width)


def test_check_takes_transforms_like_layers():
    report = vg.check(Turned)
    assert report.ok, str(report)
    assert report.subject == "Turned"
    assert "valid" in report.table()
    assert vg.check(Turned(degrees=40)).ok
    assert vg.check(Turned, degrees=170).ok
    names = [f.check for f in vg.check(Turned, skip=("masks_follow",)).findings]
    assert "boxes_follow" in names
    assert "masks_follow" not in names
    with pytest.raises(UserError, match="degrees"):
        vg.check(Turned, config={"degrees": "much"})
    with pytest.raises(UserError, match="'mask_follows' is not the name of a check"):
        vg.check(Turned, skip=("mask_follows",))
    from visiongarden.testing import discover

    assert discover("visiongarden.transforms.grayscale") == [vg.transforms.Grayscale]


def test_the_markers_are_where_the_annotations_are():
    """The independent ground truth of all checks: pixels and annotations of the samples."""
    pixels = marked_samples.image()
    for row, (x1, y1, x2, y2) in enumerate(marked_samples.BOXES.astype(int)):
        changed = (pixels != marked_samples.image(without=row)).any(axis=2)
        ys, xs = np.nonzero(changed)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x1, y1, x2, y2)
        points = marked_samples.sample("objects", pixels).instances.keypoints.values[row]
        for number in range(marked_samples.POINTS):
            dark = (pixels != marked_samples.image(with_points=((row, number),))).any(axis=2)
            ys, xs = np.nonzero(dark)
            assert points[number, :2].tolist() == [xs.mean() + 0.5, ys.mean() + 0.5]
        assert not marked_samples.mirrored(points[:, :2])
        assert marked_samples.mirrored(points[:, :2] * (-1, 1))
