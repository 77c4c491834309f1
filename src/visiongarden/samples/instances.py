"""`Instances`: the objects of one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from visiongarden.errors import UserError, nearest
from visiongarden.interchange.checks import Objects
from visiongarden.samples import columns, matrices, warping
from visiongarden.samples.boxes import Boxes
from visiongarden.samples.conversion import Conversions
from visiongarden.samples.exchange import fields_of, objects_of
from visiongarden.samples.field import Field
from visiongarden.samples.field_checks import (
    ARGUMENTS,
    CHECKED,
    COLUMNS,
    NO_DATA,
    further,
    warped_column,
)
from visiongarden.samples.keypoints import Keypoints
from visiongarden.samples.mask_field import Masks
from visiongarden.samples.rotated_boxes import RotatedBoxes
from visiongarden.types import ClassMap, ImageReference, ImageSize, shortened

_SEEN = ("boxes", "masks", "keypoints")
"""Fields that decide whether an object is visible: the first that is present."""


class Instances(Conversions):
    """The objects of one image: fields of equal length, each with one row per object; immutable.

    They are ground truth, or with `scores` what a model found, in descending order of score.

    Args:
        size: (height, width) of the image in pixels; (0, 0) is unknown.
        boxes: boxes of the objects.
        classes: int32 (n,).
        scores: float32 (n,), 0 to 1; None for ground truth.
        masks: masks of the objects, or another field.
        keypoints: keypoints of the objects, or another field.
        crowd: bool (n,), whether a row is a group of objects; None: no row is.
        area: float64 (n,) in square pixels.
        data: further columns by name, each a `Field` or an array (n, ...).
        class_map: names of the classes.
        image: the image, which notebooks show; a result of `predict` has it. It is not written to
            files, and neither `warp` nor `concatenate` keeps it.

    Raises:
        UserError: a field has another length than the others, a wrong type or shape, or is not
            finite.

    Example:
        >>> objects = Instances((80, 100), Boxes([[10, 20, 30, 40], [90, 0, 99, 9]]), [1, 0])
        >>> left = np.array([[1, 0, -50], [0, 1, 0], [0, 0, 1]])  # moves the image by 50 pixels
        >>> objects.warp(left, (80, 100))
        Instances(1 object, image 80 × 100; boxes, classes)
        >>> names = vg.ClassMap(("cat", "dog"))
        >>> found = objects.replace(scores=[0.9, 0.5], class_map=names)
        >>> found[found.scores > 0.6]
        Instances(1 × dog; scores 0.900 to 0.900; image 80 × 100)
        >>> np.asarray(found.boxes).tolist()
        [[10.0, 20.0, 30.0, 40.0], [90.0, 0.0, 99.0, 9.0]]
    """

    __slots__ = ("_length", *ARGUMENTS)

    size: ImageSize
    boxes: Boxes | RotatedBoxes | None
    classes: np.ndarray | None
    scores: np.ndarray | None
    masks: Masks | None
    keypoints: Keypoints | None
    crowd: np.ndarray | None
    area: np.ndarray | None
    data: Mapping[str, Field | np.ndarray]
    class_map: ClassMap | None
    image: ImageReference | None
    _length: int

    def __init__(
        self,
        size: ImageSize,
        boxes: Boxes | RotatedBoxes | None = None,
        classes: Any = None,
        *,
        scores: Any = None,
        masks: Masks | None = None,
        keypoints: Keypoints | None = None,
        crowd: Any = None,
        area: Any = None,
        data: Mapping[str, Field | np.ndarray] | None = None,
        class_map: ClassMap | None = None,
        image: ImageReference | None = None,
    ) -> None:
        found = {
            "boxes": boxes,
            "classes": classes,
            "scores": scores,
            "masks": masks,
            "keypoints": keypoints,
            "crowd": crowd,
            "area": area,
        }
        found = {n: None if v is None else CHECKED[n](n, v) for n, v in found.items()}
        self._fill(matrices.checked_size(size), found, further(data), class_map, image)

    def _fill(
        self,
        size: ImageSize,
        found: Mapping[str, Any],
        data: Mapping[str, Field | np.ndarray],
        class_map: ClassMap | None,
        image: ImageReference | None,
    ) -> None:
        """Set the attributes to checked values, if their lengths are equal."""
        assign = object.__setattr__
        first, length = "", 0
        # One loop, because several instances are made for each training image.
        for name, value in (*found.items(), *data.items()) if data else found.items():
            if value is not None:
                rows = len(value)
                if not first:
                    first, length = name, rows
                elif rows != length:
                    raise UserError(
                        f"the fields '{first}' and '{name}' of the instances have different "
                        "lengths",
                        rule="one row per object in every field",
                        received=f"{length} rows in '{first}', {rows} in '{name}'",
                        fix=f"select the objects of both, such as {first}[keep] and {name}[keep]",
                    )
            if name in found:
                assign(self, name, value)
        assign(self, "size", size)
        assign(self, "data", data)
        assign(self, "class_map", class_map)
        assign(self, "image", image)
        assign(self, "_length", length)

    def _with(
        self,
        size: ImageSize,
        found: Mapping[str, Any],
        data: Mapping[str, Any],
        image: ImageReference | None = None,
    ) -> Self:
        """Return instances with other fields, whose types have been checked."""
        instances = object.__new__(type(self))
        data = MappingProxyType(data) if data else NO_DATA
        instances._fill(size, found, data, self.class_map, image)
        return instances

    def _columns(self) -> dict[str, Any]:
        """Return the fields of the constructor that have one row per object."""
        return {
            "boxes": self.boxes,
            "classes": self.classes,
            "scores": self.scores,
            "masks": self.masks,
            "keypoints": self.keypoints,
            "crowd": self.crowd,
            "area": self.area,
        }

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**self._shared(), "data": self.data, **self._columns()}

    def _shared(self) -> dict[str, Any]:
        """Return the arguments of the constructor that all objects have in common."""
        return {"size": self.size, "class_map": self.class_map, "image": self.image}

    def _objects(self) -> Objects:
        if self.classes is not None:
            self._check(self.classes)
        return objects_of(self._columns(), self.data)

    @classmethod
    def _created(cls, objects: Objects, class_map: ClassMap | None, size: ImageSize | None) -> Self:
        found = cls(**fields_of(objects, size), class_map=class_map)
        if found.scores is None or (np.diff(found.scores) <= 0).all():
            return found
        # Stable, so that equal scores keep their order.
        return found[np.argsort(-found.scores, kind="stable")]

    @classmethod
    def empty(cls, size: ImageSize = (0, 0)) -> Self:
        """Return instances without objects and fields."""
        return cls(size)

    @classmethod
    def concatenate(cls, parts: Sequence[Self], size: ImageSize | None = None) -> Self:
        """Return the objects of all parts, in order. Parts without objects may lack fields.

        Where only some parts have `crowd`, the objects of the others are no crowds.

        Args:
            parts: instances of one image or of several.
            size: (height, width) of the canvas of all parts; None: their size, which is equal.

        Raises:
            UserError: sizes, class maps or types of fields differ, or some parts lack a field.

        Example:
            >>> one = Instances((80, 100), Boxes([[10, 20, 30, 40]]), [1])
            >>> Instances.concatenate([one, one, Instances.empty()])
            Instances(2 objects, image 80 × 100; boxes, classes)
        """
        if not parts:
            return cls.empty()
        filled = [part for part in parts if len(part)] or list(parts)
        if size is None:
            size = _common("sizes", [part.size for part in parts if part.size != (0, 0)]) or (0, 0)
        maps = [part.class_map for part in parts if part.class_map is not None]
        rows = [part._columns() for part in filled]
        found = {n: _concatenated(n, filled, [row[n] for row in rows]) for n in COLUMNS}
        names = dict.fromkeys(name for part in filled for name in part.data)
        data = {n: _concatenated(n, filled, [p.data.get(n) for p in filled]) for n in names}
        result = parts[0]._with(size, found, data)
        object.__setattr__(result, "class_map", _common("class maps", maps))
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        raise UserError(
            f"instances cannot be changed: '{name}' was assigned",
            rule="a new value for every change",
            fix=f"instances = instances.replace({name}={name})",
        )

    __delattr__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), {**self._arguments(), "data": dict(self.data)})

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        if self.scores is not None and self.classes is not None:
            return f"Instances({'; '.join(self._summary(self.scores, self.classes))})"
        present = [name for name, value in self._columns().items() if value is not None]
        fields = ", ".join([*present, *self.data]) or "no fields"
        objects = "1 object" if len(self) == 1 else f"{len(self)} objects"
        return f"Instances({objects}, image {self.size[0]} × {self.size[1]}; {fields})"

    def _summary(self, scores: np.ndarray, classes: np.ndarray) -> list[str]:
        """Return what `repr` shows of the result of a model."""
        counts = Counter(classes.tolist()).most_common()
        parts = [shortened([f"{n} × {self._name(i)}" for i, n in counts]) or "no objects"]
        if len(self):
            parts.append(f"scores {scores.min():.3f} to {scores.max():.3f}")
        if self._known_size:
            parts.append(f"image {self.size[0]} × {self.size[1]}")
        names = ("masks", "keypoints", "crowd", "area")
        others = ["rotated boxes"] if isinstance(self.boxes, RotatedBoxes) else []
        others += [
            name for name, value in self._columns().items() if name in names and value is not None
        ]
        return [*parts, ", ".join([*others, *self.data])] if others or self.data else parts

    def __getitem__(self, index: slice | np.ndarray) -> Self:
        """Return the objects of a slice, of an array of indices or of a boolean mask (n,)."""
        index = columns.selection(index, self._length)
        found = {n: None if v is None else v[index] for n, v in self._columns().items()}
        data = {n: v[index] for n, v in self.data.items()}
        return self._with(self.size, found, data, self.image)

    def replace(self, **fields: Any) -> Self:
        """Return instances with other values of some of the constructor's arguments.

        Raises:
            UserError: a name is unknown, or a value is not valid.
        """
        if unknown := fields.keys() - set(ARGUMENTS):
            name = min(unknown)
            raise UserError(
                f"'{name}' is not a field of the instances",
                fix=f"{nearest(name, ARGUMENTS)}; further columns: replace(data={{...}})",
            )
        found = self._columns()
        # Only what is new is checked, which takes most of the time.
        for name in fields.keys() & found.keys():
            value = fields.pop(name)
            found[name] = None if value is None else CHECKED[name](name, value)
        data = further(fields.pop("data")) if "data" in fields else self.data
        shared = self._shared() | fields
        if "size" in fields:
            shared["size"] = matrices.checked_size(fields["size"])
        instances = object.__new__(type(self))
        instances._fill(found=found, data=data, **shared)
        return instances

    def warp(self, matrix: np.ndarray, size: ImageSize, min_visibility: float = 0.0) -> Self:
        """Transform the objects, clip their boxes and remove what is no longer visible.

        Boxes decide what is visible; without boxes, masks do, and without masks, keypoints. The
        area is that of the whole object, also where it is cut: it is multiplied by the determinant,
        under perspective by that at the center of the box. Under perspective without boxes it is
        unknown and removed.

        Args:
            matrix: (3, 3), from pixels of the input to pixels of the output. Where its third row
                is 0, 0, 1, a negative determinant mirrors: x becomes width - x.
            size: (height, width) of the output.
            min_visibility: smallest visible fraction of an object that is kept, 0 to 1. An object
                outside is removed also at 0.

        Raises:
            UserError: an argument is not valid.
        """
        matrix, size = matrices.checked_matrix(matrix), matrices.checked_size(size)
        if not 0 <= min_visibility <= 1:
            raise UserError(
                "the smallest visible fraction is not valid",
                rule="0 to 1",
                received=f"min_visibility={min_visibility!r}",
                fix="min_visibility=0.1",
            )
        found, data = self._columns(), self.data
        seen = next((name for name in _SEEN if found[name] is not None), None)
        known = {}
        if seen:
            moved = found[seen].warp(matrix, size)
            fraction = moved.visible_fraction(size)
            keep = (fraction > 0) & (fraction >= min_visibility)
            if not keep.all():
                moved = moved[keep]
                found = {n: None if v is None else v[keep] for n, v in found.items()}
                data = {n: v[keep] for n, v in data.items()}
            known = {seen: moved}
        result = self._moved(matrix, size, found, data, known)
        if result.boxes is not None:
            object.__setattr__(result, "boxes", result.boxes.clip(size))
        return result

    def move(self, matrix: np.ndarray, size: ImageSize) -> Self:
        """Transform the objects, of which none is removed or clipped, so that moves can be chained.

        Args:
            matrix: (3, 3), from pixels of the input to pixels of the output.
            size: (height, width) of the output.

        Raises:
            UserError: an argument is not valid.

        Example:
            >>> objects = Instances((80, 100), Boxes([[90, 0, 99, 9]]), [1])
            >>> right = np.array([[1, 0, 50], [0, 1, 0], [0, 0, 1]])
            >>> np.asarray(objects.move(right, (80, 100)).boxes).tolist()
            [[140.0, 0.0, 149.0, 9.0]]
        """
        matrix, size = matrices.checked_matrix(matrix), matrices.checked_size(size)
        return self._moved(matrix, size, self._columns(), self.data, {})

    def _moved(
        self,
        matrix: np.ndarray,
        size: ImageSize,
        found: dict[str, Any],
        data: Mapping[str, Field | np.ndarray],
        known: Mapping[str, Any],
    ) -> Self:
        """Return transformed columns, of which those in `known` are already transformed."""
        found["area"] = _warped_area(found["area"], found["boxes"], matrix)
        for name in _SEEN:
            if found[name] is not None:
                found[name] = known[name] if name in known else found[name].warp(matrix, size)
        data = {n: v if isinstance(v, np.ndarray) else warped_column(n, v, matrix, size)
                for n, v in data.items()}  # fmt: skip
        return self._with(size, found, data)


def _rebuilt(cls: type[Instances], arguments: dict[str, Any]) -> Instances:
    return cls(**arguments)


def _warped_area(
    area: np.ndarray | None, boxes: Boxes | RotatedBoxes | None, matrix: np.ndarray
) -> np.ndarray | None:
    """Return areas after a transform of the boxes (or None) that they belong to."""
    if area is None:
        return None
    determinant = abs(float(np.linalg.det(matrix)))
    if warping.is_affine(matrix):
        return columns.read_only(area * determinant)
    if boxes is None:
        return None
    array = np.asarray(boxes, np.float64)
    is_xyxy = isinstance(boxes, Boxes)
    center = (array[:, :2] + array[:, 2:]) / 2 if is_xyxy else array[:, :2]
    # The determinant of the map's derivative. Of an object that reaches behind the camera, the
    # center may have no positive depth; the limit keeps its area finite.
    depth = np.maximum(center @ matrix[2, :2] + matrix[2, 2], matrices.MIN_DEPTH)
    return columns.read_only(area * determinant / depth**3)


def _common(what: str, values: Sequence[Any]) -> Any:
    """Return the value that all parts have in common, or None if there are no values."""
    for value in values[1:]:
        if value != values[0]:
            raise UserError(
                f"instances with different {what} cannot be concatenated",
                received=f"{values[0]!r:.100} and {value!r:.100}",
                fix="warp all parts to one size" if what == "sizes" else "part.replace(...)",
            )
    return values[0] if values else None


def _concatenated(name: str, parts: Sequence[Instances], values: list[Any]) -> Any:
    """Return the concatenation of one field, or None if no part has it."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    if len(present) < len(parts):
        if name == "crowd":
            present = [np.zeros(len(part), bool) if value is None else value
                       for part, value in zip(parts, values, strict=True)]  # fmt: skip
        elif any(map(len, parts)):
            raise UserError(
                f"some of the instances to concatenate have no field '{name}'",
                rule="the same fields in every part that has objects",
                received=f"the field in {len(present)} of {len(parts)} parts",
                fix=f"add '{name}' to all parts, or remove it from all",
            )
    kinds = {type(value) for value in present}
    if len(kinds) > 1:
        raise UserError(
            f"the field '{name}' cannot be concatenated",
            rule="values of one type",
            received=", ".join(sorted(kind.__name__ for kind in kinds)),
            fix=f"convert '{name}' of all parts to one type",
        )
    if isinstance(present[0], np.ndarray):
        return columns.read_only(columns.joined(f"the arrays '{name}'", present))
    return type(present[0]).concatenate(present)
