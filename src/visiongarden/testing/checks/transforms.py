"""Checks of transforms: what they return, and whether annotations follow the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, Sample
from visiongarden.testing import marked_samples as marked
from visiongarden.testing.checks import values
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.transform_subject import (
    SEEDS,
    Region,
    TransformSubject,
    is_refusal,
)

_VISIBLE = 0.5
"""Fraction of an object that must be visible for its removal to be a finding."""
_WHOLE = 0.85
_TOLERANCE = 3.0
"""Largest distance in pixels between a box and the object, which a blur makes larger."""
_OVERLAP = 0.75
_FOLLOW = "move boxes, masks and keypoints with the pixels: sample.instances.warp(matrix, size)"
_SELECT = "select objects of all fields: sample.instances[keep]"
_IMAGES = {"uint8 with 1 channel": (np.uint8, 1), "uint16 with 5 channels": (np.uint16, 5),
           "float32 with 2 channels": (np.float32, 2)}  # fmt: skip


def runs(subject: TransformSubject) -> Finding:
    """Check that the transform runs on samples with different annotations."""
    for kind, error in subject.errors.items():
        # Those of empty samples are reported by `no_objects`.
        if kind != "empty" and not is_refusal(error) and not _is_of_lengths(error):
            raise error
    if not subject.kinds:
        error = next(iter(subject.errors.values()))
        return failed(describe(error), advice_for(error, "accept at least one kind of sample"))
    refused = ", ".join(subject.errors)
    return passed(", ".join(subject.kinds) + (f" (refused: {refused})" if refused else ""))


def returns_sample(subject: TransformSubject) -> Finding:
    """Check that the result is a sample with pixels."""
    for kind in subject.kinds:
        found = subject.result(kind, 0)
        if not isinstance(found, Sample):
            return failed(
                f"apply returns {type(found).__name__}, not a Sample",
                "return dataclasses.replace(sample, image=image)",
            )
        if not isinstance(found.image, np.ndarray) or found.image.ndim != 3:
            shape = None if found.image is None else np.shape(found.image)
            return failed(
                f"the image of the result has the shape {shape}",
                "return an image (height, width, channels)",
            )
    return passed(f"{len(subject.kinds)} samples")


def keeps_pixel_type(subject: TransformSubject) -> Finding:
    """Check that dtype and number of channels stay the same."""
    tried = []
    for name, (dtype, channels) in {"uint8 with 3 channels": (np.uint8, 3), **_IMAGES}.items():
        if (problem := _other_type(subject, name, dtype, channels)) is not None:
            return failed(
                problem,
                "convert the result back: np.clip(image, 0, 255).astype(sample.image.dtype); a "
                "transform for RGB alone states `rgb_only: ClassVar[bool] = True`",
            )
        tried.append(name)
        if subject.cls.rgb_only:
            break
    return passed(", ".join(tried))


def _other_type(subject: TransformSubject, name: str, dtype: type, channels: int) -> str | None:
    """Return what is wrong with the result of an image of another type."""
    pixels: np.ndarray = marked.image()[..., np.arange(channels) % 3].astype(dtype)
    kind = subject.kinds[0]
    try:
        found = subject.run(marked.sample(kind, pixels), kind)
    except UserError:
        return None  # refused in a clear way
    except Exception as error:
        return f"an image of {name} fails: {describe(error)}"
    image = found.image
    if image.dtype != dtype or image.shape[2:] != (channels,):
        count = image.shape[2] if image.ndim == 3 else 1
        return f"an image of {name} becomes {image.dtype} with {count} channels"
    return None


def input_unchanged(subject: TransformSubject) -> Finding:
    """Check that the arrays of the sample are not changed in place."""
    for kind in subject.kinds:
        given, before = subject.without_side_effects(kind)
        pairs = {
            "image": (given.image, before.image),
            "semantic": (given.semantic, before.semantic),
            "labels": (given.labels, before.labels),
        }
        for name, (changed, was) in pairs.items():
            if not np.array_equal(np.asarray(changed), np.asarray(was)):
                return failed(
                    f"sample.{name} is changed in place; decoded images are used again",
                    f"{name} = sample.{name}.copy()",
                )
    return passed("image, semantic mask and labels")


def repeatable(subject: TransformSubject) -> Finding:
    """Check that equal random number generators give equal results."""
    for kind in subject.kinds:
        one = subject.result(kind, 0)
        # Global generators have other states now.
        np.random.random(3)
        other = subject.run(marked.sample(kind, marked.image()), kind, 0)
        if (different := _difference(one, other)) is not None:
            return failed(
                f"{different} differs between two calls with equal generators",
                "take all random numbers from the argument `rng`",
            )
    return passed("equal results for equal generators")


def random_declared(subject: TransformSubject) -> Finding:
    """Check that a transform with `random = False` uses no random numbers."""
    if subject.cls.random:
        return skipped("the transform is random")
    for kind in subject.kinds:
        if (different := _difference(subject.result(kind, 0), subject.result(kind, 1))) is not None:
            return failed(
                f"{different} differs between generators, although the class states random = False",
                "remove `random = False` from the class",
            )
    return passed("no random numbers")


def _difference(one: Sample, other: Sample) -> str | None:
    """Return the name of what differs between two results."""
    if not np.array_equal(np.asarray(one.image), np.asarray(other.image)):
        return "the image"
    if len(one.instances) != len(other.instances):
        return "the number of objects"
    pairs = {
        "the boxes": (one.instances.boxes, other.instances.boxes),
        "the classes": (one.instances.classes, other.instances.classes),
        "the semantic mask": (one.semantic, other.semantic),
        "the labels": (one.labels, other.labels),
    }
    for name, (a, b) in pairs.items():
        if not np.array_equal(np.asarray(a), np.asarray(b)):
            return name
    return None


def equal_lengths(subject: TransformSubject) -> Finding:
    """Check that all fields of the objects have one row per object."""
    count = 0
    for error in subject.errors.values():
        if _is_of_lengths(error):
            return failed(describe(error), _SELECT)
    for _, found in _results(subject):
        lengths = _lengths(found.instances)
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            return failed(
                f"fields of the objects have different lengths: {listed}",
                _SELECT,
            )
        count = max(count, len(lengths))
    return passed(f"{count} fields") if count else skipped("the transform takes no objects")


def _is_of_lengths(error: Exception) -> bool:
    """Return whether `Instances` reported fields of different lengths."""
    return isinstance(error, UserError) and "have different lengths" in error.what


def _lengths(instances: Instances) -> dict[str, int]:
    fields = {
        "boxes": instances.boxes,
        "classes": instances.classes,
        "masks": instances.masks,
        "keypoints": instances.keypoints,
        "crowd": instances.crowd,
        "area": instances.area,
        **instances.data,
    }
    return {name: len(value) for name, value in fields.items() if value is not None}


def boxes_inside(subject: TransformSubject) -> Finding:
    """Check that annotations have the size of the image, and that boxes are inside."""
    for _, found in _results(subject, ("objects", "boxes", "semantic")):
        assert found.image is not None  # noqa: S101  checked by `returns_sample`
        height, width = found.image.shape[:2]
        sizes = _sizes(found)
        for name, size in sizes.items():
            if size != (height, width):
                return failed(
                    f"the {name} have the size {size}, the image {(height, width)}",
                    _FOLLOW,
                )
        boxes = found.instances.boxes
        if not isinstance(boxes, Boxes):
            continue
        array = np.asarray(boxes)
        outside = (array < -1e-3) | (array > np.array([width, height] * 2) + 1e-3)
        if outside.any():
            row = int(np.argmax(outside.any(axis=1)))
            return failed(
                f"the box {array[row].round(1).tolist()} leaves the image of {width} × {height} "
                "pixels",
                "sample.instances.warp(matrix, size), which clips boxes",
            )
    return passed("boxes within the image")


def _sizes(found: Sample) -> dict[str, tuple[int, ...]]:
    sizes: dict[str, tuple[int, ...]] = {}
    if len(found.instances):
        sizes["objects"] = found.instances.size
    if isinstance(found.instances.masks, Masks) and len(found.instances):
        sizes["masks"] = found.instances.masks.size
    if found.semantic is not None:
        sizes["class ids of the pixels"] = found.semantic.shape
    return sizes


def no_objects(subject: TransformSubject) -> Finding:
    """Check that a sample without objects stays one."""
    if (error := subject.errors.get("empty")) is not None:
        if not is_refusal(error):
            raise error
        return skipped("the transform refuses images without objects")
    found = subject.result("empty", 0)
    if len(found.instances) and (_rows(found.instances) < marked.COUNT).any():
        return failed("a sample without objects has objects afterwards", _FOLLOW)
    return passed("a sample without objects")


def objects_kept(subject: TransformSubject) -> Finding:
    """Check that no object is removed that is still visible."""
    checked = 0
    for seed, found, scale in _scaled(subject):
        rows = _rows(found.instances)
        for row in range(marked.COUNT):
            region = subject.region(str(subject.object_kind), seed, row)
            if region is None:
                continue
            checked += 1
            if row not in rows and region.share >= _VISIBLE * scale:
                return failed(
                    f"object {row} is removed, but still visible at {_text(region.box)} (seed "
                    f"{seed})",
                    "remove an object only where it is not visible any more; "
                    "sample.instances.warp(matrix, size) does",
                )
    return _result(subject, checked, "objects")


def boxes_follow(subject: TransformSubject) -> Finding:
    """Check that each box is where its object is visible."""
    checked = 0
    for seed, instances, row, at, region, is_whole in _located(subject):
        for name, value in (("box", instances.boxes), ("outline", instances.data.get("outline"))):
            if not isinstance(value, Boxes):
                continue
            checked += 1
            box = np.asarray(value.clip(instances.size), float)[at]
            outside = np.maximum(box[:2] - region.box[:2], region.box[2:] - box[2:])
            beyond = np.maximum(region.box[:2] - box[:2], box[2:] - region.box[2:])
            limit = _TOLERANCE + 0.03 * float(max(region.box[2:] - region.box[:2]))
            # A custom field is not cut where another image covers the object.
            too_large = is_whole and name == "box" and beyond.max() > limit
            if outside.max() > limit or too_large:
                named = "its box" if name == "box" else "the box in data['outline']"
                return failed(
                    f"object {row} is visible at {_text(region.box)}, but {named} is at "
                    f"{_text(box)} (seed {seed})",
                    _FOLLOW,
                )
    return _result(subject, checked, "boxes")


def masks_follow(subject: TransformSubject) -> Finding:
    """Check that each mask covers its object."""
    checked = 0
    for seed, instances, row, at, region, is_whole in _located(subject):
        masks = instances.masks
        if not isinstance(masks, Masks) or masks.size != region.mask.shape:
            continue
        checked += 1
        mask = masks[np.array([at])].bitmaps()[0]
        both = float((mask & region.mask).sum())
        covered = both / float(region.mask.sum())
        if covered < _OVERLAP or (is_whole and both < _OVERLAP * float(mask.sum())):
            return failed(
                f"{covered:.0%} of object {row}, visible at {_text(region.box)}, is covered by its "
                f"mask (seed {seed})",
                _FOLLOW,
            )
    return _result(subject, checked, "masks")


def keypoints_follow(subject: TransformSubject) -> Finding:
    """Check that keypoints follow, and that a mirror swaps left and right."""
    checked = 0
    for seed, instances, row, at, _, is_whole in _located(subject):
        if not is_whole or not isinstance(instances.keypoints, Keypoints) or row % 4:
            continue
        regions = [subject.point(seed, row, i) for i in range(marked.POINTS)]
        if any(each is None or each.touches for each in regions):
            continue
        checked += 1
        seen = np.array([_center(each.mask) for each in regions if each is not None])
        found = np.asarray(instances.keypoints.values)[at, :, :2]
        in_mirror = marked.mirrored(seen)
        expected = seen[[1, 0, 2]] if in_mirror else seen
        if _near(found, expected):
            continue
        if in_mirror and _near(found, seen):
            return failed(
                f"the image is mirrored, but left and right are not swapped (seed {seed})",
                "Keypoints.warp and Instances.warp swap them: use one of them with the mirror's "
                "matrix",
            )
        return failed(
            f"keypoints of object {row} are visible at {_points(expected)}, but annotated at "
            f"{_points(found)} (seed {seed})",
            _FOLLOW,
        )
    return _result(subject, checked, "keypoints")


def semantic_follows(subject: TransformSubject) -> Finding:
    """Check that class ids of pixels follow the pixels."""
    if "semantic" not in subject.kinds:
        return skipped("the transform takes no semantic masks")
    checked = 0
    for seed in SEEDS:
        classes = subject.result("semantic", seed).semantic
        if classes is None:
            return failed("the result has no semantic mask", "dataclasses.replace(sample, ...)")
        for row in range(marked.COUNT):
            region = subject.region("semantic", seed, row)
            if region is None or region.mask.shape != classes.shape:
                continue
            checked += 1
            covered = float((classes[region.mask] == row + 1).mean())
            if covered < _OVERLAP:
                return failed(
                    f"{covered:.0%} of class {row + 1}, visible at {_text(region.box)}, has its id "
                    f"in the semantic mask (seed {seed})",
                    "change sample.semantic with the pixels, without interpolation",
                )
    return passed(f"{checked} regions") if checked else skipped("no class is visible afterwards")


CHECKS: dict[str, Callable[[TransformSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "runs": runs,
    "returns_sample": returns_sample,
    "input_unchanged": input_unchanged,
    "repeatable": repeatable,
    "random_declared": random_declared,
    "keeps_pixel_type": keeps_pixel_type,
    "equal_lengths": equal_lengths,
    "no_objects": no_objects,
    "boxes_inside": boxes_inside,
    "objects_kept": objects_kept,
    "boxes_follow": boxes_follow,
    "masks_follow": masks_follow,
    "keypoints_follow": keypoints_follow,
    "semantic_follows": semantic_follows,
}
"""Checks of a transform by name, in the order in which they run."""

NEEDS = ("runs", "returns_sample")
"""Checks without which the later ones do not run."""


def _results(
    subject: TransformSubject, kinds: Iterable[str] = ("objects", "boxes")
) -> Iterator[tuple[int, Sample]]:
    for kind in kinds:
        if kind in subject.kinds:
            for seed in SEEDS:
                yield seed, subject.result(kind, seed)


def _rows(instances: Instances) -> np.ndarray:
    """Return the row of the original sample that each object has."""
    rows = instances.data.get("row")
    return np.asarray(rows) if isinstance(rows, np.ndarray) else np.arange(len(instances))


def _scaled(subject: TransformSubject) -> Iterator[tuple[int, Sample, float]]:
    """Yield the results, each with the scale of areas, estimated from the objects it keeps."""
    kind = subject.object_kind
    if kind is None:
        return
    for seed in SEEDS:
        found = subject.result(kind, seed)
        kept = [subject.region(kind, seed, row) for row in range(marked.COUNT)
                if row in _rows(found.instances)]  # fmt: skip
        shares = [each.share for each in kept if each is not None and not each.touches]
        yield seed, found, max(shares, default=1.0)


def _located(
    subject: TransformSubject,
) -> Iterator[tuple[int, Instances, int, int, Region, bool]]:
    """Yield (seed, instances, row, index, region, is wholly visible) of each visible object."""
    for seed, found, scale in _scaled(subject):
        rows = _rows(found.instances)
        for row in range(marked.COUNT):
            region = subject.region(str(subject.object_kind), seed, row)
            places = np.flatnonzero(rows == row)
            if region is None or len(places) != 1 or region.share < 0.3 * scale:
                continue
            is_whole = region.share >= _WHOLE * scale and not region.touches
            yield seed, found.instances, row, int(places[0]), region, is_whole


def _result(subject: TransformSubject, checked: int, what: str) -> Finding:
    if subject.object_kind is None:
        return skipped("the transform takes no objects")
    return passed(f"{checked} {what}") if checked else skipped(f"no {what} to compare")


def _center(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def _near(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() <= _TOLERANCE)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.0f}" for value in box) + "]"


def _points(points: np.ndarray) -> str:
    return ", ".join(f"({x:.0f}, {y:.0f})" for x, y in points)
