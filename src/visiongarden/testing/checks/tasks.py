"""Checks of tasks: targets, results in pixels of the original, metrics, drawing and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.metrics.metric import check_metric
from visiongarden.parts import Head
from visiongarden.samples import Boxes, ImageInfo, Instances, Masks, RotatedBoxes, Sample
from visiongarden.tasks import Task
from visiongarden.testing.arrays import leaves, numpy_leaves
from visiongarden.testing.checks import losses, values
from visiongarden.testing.explain import describe
from visiongarden.testing.guess import constructor_arguments
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject
from visiongarden.testing.value_subject import ValueSubject
from visiongarden.types import ClassMap, Placement, Segments

_CAPACITY = 4


class TaskSubject(ValueSubject):
    """A task under test, with a head of the task in a small model."""

    @cached_property
    def head(self) -> Subject:
        """A head of the task; `examples = {"head": MyHead(...)}` in the task's class decides."""
        own = self.examples.get("head")
        if own is not None:
            return Subject(own)
        # Heads of one stage first, which take less time.
        entries: list[Any] = [*registry.registered(Head).values()]
        for entry in sorted(entries, key=lambda each: bool(each.cls.target_inputs)):
            cls: Any = entry.cls
            if cls.task == self.cls.name and "visiongarden_check" not in entry.key:
                return Subject(cls(**constructor_arguments(cls, {})))
        raise UserError(
            f"no registered head has the task {self.cls.name!r}",
            rule="a head with this task, of whose predictions the task makes results",
            fix=f'task: ClassVar[str] = "{self.cls.name}" in class MyHead(vg.Head)',
        )

    @cached_property
    def task(self) -> Task:
        """The task with what it takes from the head."""
        found: Task = self.cls.of_head(self.head.part)
        return found

    @cached_property
    def model(self) -> Any:
        """A small model with the head."""
        return self.head.connected()

    @cached_property
    def decoded(self) -> dict[str, np.ndarray]:
        """Decoded predictions of the head by name, batch first."""
        part: Any = self.head.part
        found = part.chosen_decoding()(self.head.inference, losses.context_of(self.head))
        names = [name for name in self.task.needed_outputs(tuple(found)) if name in found]
        return dict(zip(names, numpy_leaves([found[name] for name in names]), strict=True))

    @cached_property
    def class_map(self) -> ClassMap:
        """Names of the classes of the head."""
        return ClassMap(self.task.class_names(self.head.part))

    def result(
        self, placement: Placement, size: tuple[int, int], score: float | None = None
    ) -> Any:
        """Return the result of the first image in pixels of its original."""
        found = self.task.postprocess(self.model, score)(
            **{name: array[0] for name, array in self.decoded.items()}
        )
        return self.task.to_original(found, placement, size)

    def sample(self, objects: int) -> Sample:
        """Return a sample with all annotations that a task may need."""
        size = self.head.image_size
        boxes = np.array([[4, 4, 30, 24], [10, 20, 50, 60], [0, 0, 9, 9]], np.float32)[:objects]
        labels = np.zeros(len(self.class_map), np.float32)
        labels[objects % len(labels)] = 1
        return Sample(
            ImageInfo(0, None, size),
            np.zeros((*size, 3), np.uint8),
            Instances(
                size,
                _rotated(boxes) if "rotated" in self.cls.needs else Boxes(boxes),
                np.zeros(objects, np.int32),
                masks=_filled(boxes, size) if "masks" in self.cls.needs else None,
            ),
            semantic=np.zeros(size, np.int32) if "semantic" in self.cls.needs else None,
            labels=labels if "labels" in self.cls.needs else None,
        )


def _rotated(boxes: np.ndarray) -> RotatedBoxes:
    """Return boxes of the same centers and sides, turned by 30 degrees."""
    sides = boxes[:, 2:] - boxes[:, :2]
    turned = np.full((len(boxes), 1), 30.0, np.float32)
    return RotatedBoxes(np.concatenate([boxes[:, :2] + sides / 2, sides, turned], axis=1))


def _filled(boxes: np.ndarray, size: tuple[int, int]) -> Masks:
    """Return masks that fill their boxes."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return Masks.from_polygons([[ring.tolist()] for ring in corners], size)


def members(subject: TaskSubject) -> Finding:
    """Check that the task has what every task must have, and a name of its own."""
    if registry.key_of(subject.cls) is None:
        return skipped("`registered` fails")
    found = Task.by_name()  # which checks all members
    mode = subject.cls.monitor_mode  # a property where it depends on fields
    if isinstance(mode, str) and mode not in ("max", "min"):
        return failed(f"monitor_mode is {mode!r}", 'monitor_mode = "max"')
    return passed(f"{subject.cls.name}, one of {len(found)} tasks")


def targets_fixed(subject: TaskSubject) -> Finding:
    """Check that targets have the same names, shapes and types for any number of objects."""
    seen: dict[int, dict[str, Any]] = {}
    for objects in (0, 1, 3):
        found = subject.task.to_targets(subject.sample(objects), _CAPACITY)
        wrong = [name for name, value in found.items() if not isinstance(value, np.ndarray)]
        if wrong:
            return failed(f"the target {wrong[0]!r} is no array", "return NumPy arrays")
        seen[objects] = {name: (value.shape, str(value.dtype)) for name, value in found.items()}
    for objects in (1, 3):
        if seen[objects] != seen[0]:
            return failed(
                f"targets of {objects} objects are {seen[objects]}, of none {seen[0]}",
                "fill up to `capacity` rows, with the class -1, so that batches can be stacked",
            )
    return passed(", ".join(f"{name} {shape}" for name, (shape, _) in seen[0].items()))


def targets_of_loss(subject: TaskSubject) -> Finding:
    """Check that the targets are those that the loss of the head needs."""
    part: Any = subject.head.part
    try:
        needed = set(part.chosen_loss().targets)
    except UserError:
        return skipped("the head has no loss")
    found = subject.task.to_targets(subject.sample(1), _CAPACITY)
    missing = sorted(needed - found.keys())
    if missing:
        return failed(
            f"to_targets returns {', '.join(found)}; the loss needs {', '.join(missing)}",
            f"return {{'{missing[0]}': ...}} from to_targets",
        )
    return passed(", ".join(found))


def results(subject: TaskSubject) -> Finding:
    """Check that results are in pixels of the original image."""
    height, width = subject.head.image_size
    plain = Placement((1.0, 1.0), (0.0, 0.0))
    one = subject.result(plain, (height, width))
    half = Placement((0.5, 0.5), (0.0, 0.0))
    double = subject.result(half, (2 * height, 2 * width))
    if one is None or double is None:
        return failed("there is no result", "return a value from postprocess and to_original")
    size = (2 * height, 2 * width)
    if isinstance(double, Instances | Segments) and tuple(double.size) != size:
        return failed(
            f"the result has the size {tuple(double.size)}, the image {size}",
            "convert by placement to the `size` of the original in to_original",
        )
    if isinstance(double, Instances) and isinstance(one, Instances) and len(one) == len(double):
        before, after = (np.asarray(found.boxes, float) for found in (one, double))
        limit = np.array([width, height] * 2)
        inside = (before > 0).all(axis=1) & (before < limit).all(axis=1)
        if inside.any() and not np.allclose(after[inside], 2 * before[inside], atol=0.1):
            return failed(
                "boxes of an image twice as large are not twice as large",
                "placement.undo(boxes) in to_original",
            )
    return passed(f"{type(one).__name__}")


def metrics(subject: TaskSubject) -> Finding:
    """Check that the metrics take results and return `monitor`, also without images."""
    names: list[str] = []
    size = subject.head.image_size
    result = subject.result(Placement((1.0, 1.0), (0.0, 0.0)), size)
    for metric in subject.task.metrics(subject.class_map):
        check_metric(metric)
        for images in ([], [subject.sample(1)]):
            metric.reset_state()
            try:
                metric.update_state(images, [result] * len(images))
                found = metric.result()
            except Exception as error:
                count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
                return failed(
                    f"{metric.name} of {count} fails: {describe(error)}", "see the metric"
                )
        names += list(found) if isinstance(found, dict) else [metric.name]
    if subject.cls.monitor not in names:
        return failed(
            f"no metric returns monitor={subject.cls.monitor!r}, but {', '.join(names)}",
            f'monitor = "{names[0] if names else "AP"}"',
        )
    return passed(", ".join(names))


def draws(subject: TaskSubject) -> Finding:
    """Check that results are drawn on a copy of an image, and listed as plain values."""
    size = subject.head.image_size
    image = np.full((*size, 3), 90, np.uint8)
    result = subject.result(Placement((1.0, 1.0), (0.0, 0.0)), size, None)
    picture = subject.task.draw(image, result, subject.class_map)
    if picture.shape != image.shape or picture.dtype != np.uint8:
        return failed(
            f"draw returns {picture.dtype} {picture.shape}", "return uint8 RGB of the same size"
        )
    if (image != 90).any():
        return failed("draw changes the image that is passed", "picture = image.copy()")
    files = subject.task.prediction_files(subject.class_map)
    files.add(Path("a.jpg"), result)
    json.dumps(files.rows)
    return passed(", ".join(files.texts()))


def difference(subject: TaskSubject) -> Finding:
    """Check that equal arrays of an exported file agree, and others do not."""
    same = subject.task.difference(subject.decoded, subject.decoded)
    if not same.agrees:
        return failed(f"equal arrays: {same}", "return a Parity of 0")
    if not any(array.dtype.kind == "f" for array in subject.decoded.values()):
        return passed(str(same))
    moved = {
        name: array + 5 if array.dtype.kind == "f" else array
        for name, array in subject.decoded.items()
    }
    other = subject.task.difference(subject.decoded, moved)
    if other.agrees:
        return failed(f"arrays that differ by 5: {other}", "compare all arrays of the outputs")
    return passed(str(same))


def example_targets(subject: TaskSubject) -> Finding:
    """Check that the task lets `check` prove that loss and decoding agree."""
    head: Any = subject.head.part
    batch = len(leaves(subject.head.arguments)[0])
    levels = list(subject.head.features)
    found = subject.task.example_targets(head, levels, subject.head.image_size, batch)
    if found is None:
        return skipped("the task defines no example_targets, so heads are checked without a loss")
    if any(len(value) != batch for value in found.values()):
        return failed("example_targets have another batch", f"return arrays of {batch} images")
    return passed(", ".join(f"{name} {value.shape}" for name, value in found.items()))


CHECKS: dict[str, Callable[[TaskSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "members": members,
    "targets_fixed": targets_fixed,
    "targets_of_loss": targets_of_loss,
    "example_targets": example_targets,
    "results": results,
    "metrics": metrics,
    "draws": draws,
    "difference": difference,
}
"""Checks of a task by name, in the order in which they run."""
