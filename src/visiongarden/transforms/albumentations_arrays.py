"""Convert a sample to the arguments of an albumentations pipeline, and its result back.

Albumentations returns the boxes that it keeps with their rows. What it does to the plane is read
from tracked points: the corners of the image and of each box.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes, Sample
from visiongarden.types import IGNORE, ImageSize

_CORNERS = np.array([[0, 1], [2, 1], [2, 3], [0, 3]])
_CENTER = 0.5
"""Albumentations mirrors x to width - 1 - x: its coordinates are those of centers of pixels."""
_STILL = 1e-3
"""Largest movement in pixels of the corners of an image whose geometry stays."""


class Arrays:
    """The arrays of one sample.

    Args:
        sample: sample with a decoded image.
    """

    def __init__(self, sample: Sample) -> None:
        assert sample.image is not None  # noqa: S101  checked by the transform
        self.sample = sample
        self.image = np.array(sample.image)
        self.size: ImageSize = (self.image.shape[0], self.image.shape[1])

    @cached_property
    def corners(self) -> np.ndarray | None:
        """Corners of each box, float (n, 4, 2), or None without boxes."""
        boxes = self.sample.instances.boxes
        if boxes is None:
            return None
        if isinstance(boxes, RotatedBoxes):
            return boxes.corners().astype(np.float64)
        return np.asarray(boxes, np.float64)[:, _CORNERS]

    @cached_property
    def hulls(self) -> np.ndarray:
        """Boxes around `corners` inside the image, float (n, 4)."""
        if self.corners is None:
            return np.zeros((0, 4))
        hulls = np.concatenate([self.corners.min(axis=1), self.corners.max(axis=1)], axis=1)
        height, width = self.size
        return np.clip(hulls, 0, (width, height, width, height))

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of the objects whose boxes have an area; albumentations refuses others."""
        return np.flatnonzero((self.hulls[:, 2:] > self.hulls[:, :2]).all(axis=1))

    @cached_property
    def bitmaps(self) -> np.ndarray:
        """Masks of the objects, uint8 (n, height, width); 0 of them without masks."""
        masks = self.sample.instances.masks
        if not isinstance(masks, Masks):
            return np.zeros((0, *self.size), np.uint8)
        return masks.bitmaps().astype(np.uint8)

    @cached_property
    def points(self) -> np.ndarray:
        """Tracked points, (m, 2): corners of the image, corners of boxes, keypoints."""
        height, width = self.size
        image = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        found = [image]
        if self.corners is not None:
            found.append(self.corners.reshape(-1, 2))
        keypoints = self.sample.instances.keypoints
        if isinstance(keypoints, Keypoints):
            found.append(keypoints.values[..., :2].reshape(-1, 2))
        return np.concatenate(found)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the pipeline."""
        # The last mask shows which pixels are still those of the image.
        masks = [*self.bitmaps, np.ones(self.size, np.uint8)]
        given: dict[str, Any] = {
            "image": self.image,
            "masks": masks,
            "bboxes": self.hulls[self.rows].astype(np.float32),
            "rows": self.rows.tolist(),
            "keypoints": (self.points - _CENTER).astype(np.float32),
            "points": list(range(len(self.points))),
        }
        if self.sample.semantic is not None:
            given["mask"] = self._semantic()
        return given

    def _semantic(self) -> np.ndarray:
        semantic = self.sample.semantic
        assert semantic is not None  # noqa: S101  checked by the caller
        # OpenCV warps no 32-bit integers.
        small = not semantic.size or (semantic.min() >= 0 and semantic.max() <= 255)
        return semantic.astype(np.uint8 if small else np.float32)

    def check(self, found: dict[str, Any]) -> None:
        """Raise a UserError if the result is not the image and points of this sample."""
        image = found.get("image")
        if not isinstance(image, np.ndarray):
            raise _wrong("image", "a NumPy array", type(image).__name__, "remove ToTensorV2")
        if image.ndim == 2:
            found["image"] = image = image[..., None]
        if image.dtype != self.image.dtype or image.shape[2:] != self.image.shape[2:]:
            raise _wrong(
                "image",
                f"{self.image.dtype} with {self.image.shape[2]} channels, as before",
                f"{image.dtype} of shape {image.shape}",
                "remove the transform that converts the image, such as Normalize or ToFloat",
            )

    def moved(self, found: dict[str, Any]) -> np.ndarray:
        """Return the tracked points after the transform, (m, 2); NaN where they are removed."""
        moved = np.full(self.points.shape, np.nan)
        kept = np.asarray(found["points"], np.float64).astype(np.intp)
        moved[kept] = np.asarray(found["keypoints"], np.float64).reshape(-1, 2) + _CENTER
        return moved

    def is_mirrored(self, found: dict[str, Any]) -> bool:
        """Return whether the transform mirrors the image."""
        a, b, _, d = self.moved(found)[:4]
        u, v = b - a, d - a
        return bool(u[0] * v[1] - u[1] * v[0] < 0)

    def sample_of(self, found: dict[str, Any], min_visibility: float) -> Sample:
        """Return the transformed sample."""
        image: np.ndarray = found["image"]
        size = (image.shape[0], image.shape[1])
        if self._is_still(found, size):
            return replace(self.sample, image=image)
        matrix = plane_matrix(self.points[:4], self.moved(found)[:4])
        info = self.sample.info
        return replace(
            self.sample,
            info=info if matrix is None else info.moved(matrix),
            image=image,
            semantic=self._semantic_of(found),
            instances=self._instances_of(found, size, matrix, min_visibility),
            extra=self._extra(size, matrix),
        )

    def _is_still(self, found: dict[str, Any], size: ImageSize) -> bool:
        """Return whether all annotations are as they were."""
        distance = np.abs(self.moved(found) - self.points).max()
        if size != self.size or not distance <= _STILL:  # NaN where a point is removed
            return False
        masks = [*self.bitmaps, np.ones(self.size, np.uint8)]
        changed = any((a != b).any() for a, b in zip(masks, found["masks"], strict=True))
        if changed or [int(row) for row in found["rows"]] != self.rows.tolist():
            return False
        if self.sample.semantic is not None and (found["mask"] != self.sample.semantic).any():
            return False
        boxes = np.asarray(found["bboxes"], np.float64).reshape(-1, 4)
        return bool(np.abs(boxes - self.hulls[self.rows]).max(initial=0) <= _STILL)

    def _semantic_of(self, found: dict[str, Any]) -> np.ndarray | None:
        semantic = self.sample.semantic
        if semantic is None:
            return None
        inside = np.asarray(found["masks"][-1]) > 0
        return np.where(inside, found["mask"], IGNORE).astype(semantic.dtype)

    def _extra(self, size: ImageSize, matrix: np.ndarray | None) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for name, value in self.sample.extra.items():
            if isinstance(value, np.ndarray):
                if value.shape[:2] == self.size:
                    raise _unsupported(f"the array {name!r} of extra")
                changed[name] = value
            else:
                changed[name] = value.warp(_known(matrix, name), size)
        return changed

    def _instances_of(
        self,
        found: dict[str, Any],
        size: ImageSize,
        matrix: np.ndarray | None,
        min_visibility: float,
    ) -> Instances:
        before = self.sample.instances
        if not len(before):
            return before.replace(size=size, **self._empty_masks(size))
        rows, boxes = self._kept(found, size, min_visibility)
        kept = before[rows]
        changes: dict[str, Any] = {"size": size, "area": None, "boxes": boxes}
        if isinstance(before.masks, Masks):
            bitmaps = np.stack([np.asarray(m) for m in found["masks"]])[rows]
            changes["masks"] = Masks.from_bitmaps(bitmaps > 0)
        elif before.masks is not None:
            changes["masks"] = kept.masks.warp(_known(matrix, "masks"), size)
        if isinstance(before.keypoints, Keypoints):
            changes["keypoints"] = self._keypoints_of(found, rows)
        elif before.keypoints is not None:
            changes["keypoints"] = kept.keypoints.warp(_known(matrix, "keypoints"), size)
        changes["data"] = {
            name: value if isinstance(value, np.ndarray) else value.warp(_known(matrix, name), size)
            for name, value in kept.data.items()
        }
        return kept.replace(**changes)

    def _empty_masks(self, size: ImageSize) -> dict[str, Any]:
        has_masks = isinstance(self.sample.instances.masks, Masks)
        return {"masks": Masks.empty(size)} if has_masks else {}

    def _kept(
        self, found: dict[str, Any], size: ImageSize, min_visibility: float
    ) -> tuple[np.ndarray, Boxes | RotatedBoxes | None]:
        """Return the rows of the objects that are kept, and their boxes."""
        if self.corners is None:
            return self._kept_without_boxes(found, size), None
        rows = np.asarray(found["rows"], np.intp)
        boxes = np.asarray(found["bboxes"], np.float32).reshape(-1, 4)
        corners = self.moved(found)[4 : 4 + 4 * len(self.corners)].reshape(-1, 4, 2)[rows]
        if isinstance(self.sample.instances.boxes, RotatedBoxes):
            if not np.isfinite(corners).all():
                raise _unsupported("a rotated box")
            rotated = RotatedBoxes.from_corners(corners)
            share = rotated.visible_fraction(size)
            keep = (share > 0) & (share >= min_visibility)
            return rows[keep], rotated[keep].clip(size)
        whole = np.maximum(corners.max(axis=1) - corners.min(axis=1), 0).prod(axis=1)
        seen = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(axis=1)
        keep = ~(seen < min_visibility * whole)  # all, where corners are removed
        return rows[keep], Boxes(boxes[keep])

    def _kept_without_boxes(self, found: dict[str, Any], size: ImageSize) -> np.ndarray:
        """Return the rows of the objects of which a mask or keypoint is visible."""
        count = len(self.sample.instances)
        if len(self.bitmaps):
            return np.array([i for i in range(count) if np.any(found["masks"][i])], np.intp)
        rows = np.arange(count)
        if not isinstance(self.sample.instances.keypoints, Keypoints):
            return rows
        return rows[self._keypoints_of(found, rows).visible_fraction(size) > 0]

    def _keypoints_of(self, found: dict[str, Any], rows: np.ndarray) -> Keypoints:
        before = self.sample.instances.keypoints
        assert isinstance(before, Keypoints)  # noqa: S101  checked by the caller
        shape = before.values.shape
        points = self.moved(found)[len(self.points) - shape[0] * shape[1] :]
        values = np.concatenate([points.reshape(*shape[:2], 2), before.values[..., 2:]], axis=-1)
        labeled = (before.values[..., 2] > 0) & np.isfinite(points).all(axis=-1).reshape(shape[:2])
        values[~labeled] = 0
        if self.is_mirrored(found):
            order = np.arange(shape[1])
            for left, right in before.pairs or ():
                order[left], order[right] = right, left
            values = values[:, order]
        return Keypoints(values[rows], before.names, before.pairs, before.skeleton)


def plane_matrix(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Return the matrix (3, 3) that maps four points to four others, or None.

    It is affine where the points are those of a parallelogram.
    """
    if not np.isfinite(after).all():
        return None
    if np.abs(after[0] + after[2] - after[1] - after[3]).max() < 0.02:
        homogeneous = np.column_stack([before, np.ones(4)])
        affine = np.linalg.lstsq(homogeneous, after, rcond=None)[0].T
        found = np.vstack([affine, [0, 0, 1]])
    else:
        rows = []
        for (x, y), (u, v) in zip(before, after, strict=True):
            rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
            rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        try:
            entries = np.linalg.solve(np.array(rows), after.reshape(-1))
        except np.linalg.LinAlgError:
            return None
        found = np.append(entries, 1).reshape(3, 3)
    return found if abs(float(np.linalg.det(found))) > 1e-9 else None


def _known(matrix: np.ndarray | None, name: str) -> np.ndarray:
    if matrix is None:
        raise _unsupported(f"the field {name!r}")
    return matrix


def _unsupported(what: str) -> UserError:
    return UserError(
        f"{what} cannot follow a geometric transform of albumentations",
        rule="boxes, masks, keypoints and arrays with one row per object",
        fix="use visiongarden's transforms, such as Affine",
    )


def _wrong(name: str, rule: str, received: str, fix: str) -> UserError:
    what = f"albumentations returns another {name} than expected"
    return UserError(what, rule=rule, received=received, fix=fix)
