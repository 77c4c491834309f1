"""Conversion of `Instances` to and from the formats of other libraries."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange import (
    coco_results,
    data_frames,
    keras_boxes,
    supervision_detections,
)
from visiongarden.interchange.checks import Objects, imported, refuse_lost, require
from visiongarden.samples.exchange import rows_of
from visiongarden.samples.keypoints import Keypoints
from visiongarden.types import ClassMap, ImageSize, Result

_HEADINGS = {
    4: ("x1", "y1", "x2", "y2"),
    5: ("center x", "center y", "width", "height", "angle"),
}
"""Headings of the columns of boxes and of rotated boxes in a notebook."""


class Conversions(Result):
    """Base class of `Instances` with the methods that convert to and from other formats.

    What a format cannot hold is an error, never lost; `replace` removes it. The methods that start
    with `from_` return instances with scores, in descending order.
    """

    __slots__ = ()

    size: ImageSize
    boxes: Any
    classes: np.ndarray | None
    scores: np.ndarray | None
    keypoints: Any

    def _objects(self) -> Objects:
        """Return the fields as arrays, after checks."""
        raise NotImplementedError

    @classmethod
    def _created(cls, objects: Objects, class_map: ClassMap | None, size: ImageSize | None) -> Self:
        """Return instances of fields from another library."""
        raise NotImplementedError

    @property
    def _known_size(self) -> ImageSize | None:
        return None if self.size == (0, 0) else self.size

    def _repr_html_(self) -> str:
        # Not `_objects`, whose checks fail for a class outside the class map.
        columns: dict[str, list[str]] = {}
        if self.classes is not None:
            columns["class"] = [self._name(index) for index in self.classes.tolist()]
        if self.scores is not None:
            columns["score"] = [f"{score:.3f}" for score in self.scores.tolist()]
        if self.boxes is not None:
            array = np.asarray(self.boxes)
            for name, values in zip(_HEADINGS[array.shape[1]], array.T.tolist(), strict=True):
                columns[name] = [f"{value:.1f}" for value in values]
        rows = list(zip(*columns.values(), strict=True))
        return self._html(repr(self), tuple(columns), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the size of the image and the objects as values that `json.dump` writes.

        The size is (height, width), or None if it is unknown. The objects are "detections" if they
        have scores, else "annotations". Each has what the instances have: "class" (if the names are
        known) and "class_index"; "score"; "box", left, top, right and bottom in pixels, or
        "rotated_box", center, width, height and angle in degrees; "segmentation" and "keypoints" as
        in COCO; "crowd"; "area"; "data", the further columns. A value that is not finite is None.
        Masks of pixels are run lengths; `masks.to_polygons()` makes polygons of them.

        Raises:
            UserError: a class is outside the class map, a score is not from 0 to 1, or a field
                cannot be written.

        Example:
            >>> found = Instances((80, 100), Boxes([[10, 20, 30, 40]]), [1], scores=[0.5])
            >>> found.to_dict()["detections"]
            [{'class_index': 1, 'score': 0.5, 'box': [10.0, 20.0, 30.0, 40.0]}]
        """
        objects = self._objects()
        rows = rows_of(objects)
        if objects.classes is not None:
            named = [self._class(index) for index in objects.classes.tolist()]
            rows = [a | b for a, b in zip(named, rows, strict=True)] if rows else named
        found: dict[str, Any] = {
            "size": None if self._known_size is None else [int(side) for side in self.size]
        }
        if isinstance(self.keypoints, Keypoints) and self.keypoints.names:
            found["keypoint_names"] = list(self.keypoints.names)
        return found | {"annotations" if objects.scores is None else "detections": rows}

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with class indices, and names if they are known.

        Masks become bitmaps, the corners of rotated boxes are in its `data`, and so are `crowd`,
        `area` and further columns.

        Raises:
            UserError: supervision is not installed, a class is outside the class map, or there are
                keypoints or custom fields.
        """
        return supervision_detections.to_detections(self._objects(), self._names)

    @classmethod
    def from_supervision(
        cls, found: Any, class_map: ClassMap | None = None, size: ImageSize | None = None
    ) -> Self:
        """Create instances from a `supervision.Detections`.

        Args:
            found: detections with scores and classes. Classes are matched by name if they have
                names and `class_map` is given, else by index.
            class_map: names of the classes.
            size: (height, width) of the image in pixels; by default that of the masks.

        Raises:
            UserError: scores or classes are missing, metadata would be lost, a box is not xyxy in
                pixels, or a class is outside the class map.
        """
        names = None if class_map is None else class_map.names
        objects = supervision_detections.from_detections(found, names, size)
        return cls._created(objects, class_map, size)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with one row per object.

        The columns are x1, y1, x2, y2 (pixels), or center_x, center_y, width, height and angle
        (degrees) of rotated boxes; score, segmentation (the mask as in COCO), class_index, class if
        the names are known, crowd, area and further columns, as far as the instances have them.

        Raises:
            UserError: pandas is not installed, a class is outside the class map, or there are
                keypoints, custom fields or columns with more than one axis.
        """
        return data_frames.to_frame(self._objects(), self._names)

    @classmethod
    def from_pandas(
        cls, frame: Any, class_map: ClassMap | None = None, size: ImageSize | None = None
    ) -> Self:
        """Create instances from a `pandas.DataFrame` with the columns of `to_pandas`.

        Args:
            frame: one row per object. Classes are matched by the column "class" if it exists and
                `class_map` is given, else by "class_index".
            class_map: names of the classes.
            size: (height, width) of the image in pixels.

        Raises:
            UserError: a column or a value is missing, a box is not xyxy in pixels, or a class is
                outside the class map.
        """
        names = None if class_map is None else class_map.names
        return cls._created(data_frames.from_frame(frame, names, size), class_map, size)

    def to_coco(self, image_id: int | str, class_map: ClassMap | None = None) -> list[Any]:
        """Return COCO results: a list of dicts with image_id, category_id, bbox and score.

        Masks are the run lengths in "segmentation", keypoints the list "keypoints". `json.dump`
        writes the concatenated lists of all images to a file for COCO's evaluation.

        Args:
            image_id: id of the image in the annotation file.
            class_map: class map with the ids of the annotation file; by default that of the
                instances. If both are known, classes are matched by name.

        Raises:
            UserError: no class map is known, a class is outside it, scores or classes are missing,
                or there are rotated boxes or further columns.
        """
        target = class_map or self.class_map
        if target is None:
            raise UserError(
                "the ids of the classes are unknown",
                rule="a class map with the ids of the annotation file",
                fix='class_map=vg.ClassMap(("cat", "dog"), ids=(17, 18))',
            )
        own = self.class_map
        if own is None:
            objects = self.replace(class_map=target)._objects()
        else:
            objects = self._objects()
        ids = list(target.ids)
        if own is not None and own.names != target.names and objects.classes is not None:
            known = set(objects.classes.tolist())
            # Classes that do not occur need no counterpart.
            ids = [
                target.ids[target.index_of_name(name)] if index in known else -1
                for index, name in enumerate(own.names)
            ]
        return coco_results.to_rows(objects, ids, image_id)

    @classmethod
    def from_coco(
        cls,
        rows: Any,
        class_map: ClassMap,
        image_id: int | str | None = None,
        size: ImageSize | None = None,
    ) -> Self:
        """Create instances from COCO results.

        Args:
            rows: list of dicts with image_id, category_id, score and bbox, segmentation or
                keypoints.
            class_map: class map with the ids of the annotation file.
            image_id: id of the image; None if all rows belong to one image.
            size: (height, width) of the image in pixels; by default that of the run lengths.

        Raises:
            UserError: a row is not a result, belongs to a class outside the class map, or the rows
                belong to several images.
        """
        objects = coco_results.from_rows(
            rows, class_map.index_of_id, len(class_map), image_id, size
        )
        return cls._created(objects, class_map, size)

    def to_keras(
        self,
        box_format: str = "xyxy",
        image_size: ImageSize | None = None,
        capacity: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Return Keras's dict: "boxes", "labels" and, if there are scores, "confidences".

        Args:
            box_format: a format of `keras.utils.bounding_boxes.convert_format`, such as "xywh" or
                "rel_yxyx".
            image_size: (height, width) in pixels for formats that start with `rel_`; by default
                `size`.
            capacity: number of rows to pad to, with a label of -1; None for no padding.

        Raises:
            UserError: the format is unknown, the image size is missing, the capacity is too small,
                a class is outside the class map, boxes or classes are missing, or there are rotated
                boxes, masks, keypoints or further columns.
        """
        objects, target = self._objects(), "Keras's bounding boxes"
        refuse_lost(objects, (), target)
        boxes = require(objects.boxes, "boxes", target, "instances.replace(boxes=boxes)")
        classes = require(objects.classes, "classes", target, "instances.replace(classes=classes)")
        size = image_size or self._known_size
        made = keras_boxes.to_keras(boxes, classes, box_format, size, objects.scores)
        return made if capacity is None else keras_boxes.padded_to(made, capacity)

    @classmethod
    def from_keras(
        cls,
        bounding_boxes: Any,
        box_format: str,
        class_map: ClassMap | None = None,
        size: ImageSize | None = None,
    ) -> Self:
        """Create instances from Keras's dict of one image; rows with the label -1 are padding.

        Args:
            bounding_boxes: dict with "boxes" (n, 4), "labels" (n,) and "confidences" (n,).
            box_format: format of the boxes, as in `to_keras`.
            class_map: names of the classes.
            size: (height, width) of the image in pixels, for formats that start with `rel_`.

        Raises:
            UserError: a key is missing, the format is unknown, the image size is missing, or a
                label is outside the class map.
        """
        count = None if class_map is None else len(class_map)
        boxes, classes, scores = keras_boxes.from_keras(bounding_boxes, box_format, size, count)
        if scores is None:
            raise UserError(
                "the bounding boxes have no scores",
                rule='a dict with "boxes", "labels" and "confidences"',
                fix='bounding_boxes["confidences"] = np.ones(bounding_boxes["labels"].shape)',
            )
        if classes.ndim != 1:
            raise UserError(
                "the bounding boxes belong to a batch",
                rule="the bounding boxes of one image: boxes (n, 4) and labels (n,)",
                received=f"boxes {boxes.shape}",
                fix="pass the rows of each image",
            )
        real = classes != keras_boxes.PADDING
        objects = imported(boxes[real], scores[real], classes[real], count, size)
        return cls._created(objects, class_map, size)
