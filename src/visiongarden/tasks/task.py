"""`Task`: everything that differs between the problems that models are trained for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from visiongarden.config import Named, place
from visiongarden.data import Dataset, Loader
from visiongarden.data.targets import targets_of
from visiongarden.drawing import draw
from visiongarden.errors import ConfigError, UserError, option
from visiongarden.metrics import Metric
from visiongarden.parts import Backbone, Decoder, Head, OfClasses
from visiongarden.postprocess.nms import Share
from visiongarden.samples import Sample
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, difference_of
from visiongarden.tasks.prediction_files import PredictionFiles
from visiongarden.transforms import Letterbox, Resizing, Transform
from visiongarden.types import ClassMap, ImageSize, Placement


@dataclass(frozen=True)
class Defaults:
    """What a recipe contains if it only names a task and a dataset.

    Attributes:
        model: Fields of `model` in a recipe; the head lacks what the data provide, see
            `Task.head_fields`.
        training: Fields of `training` that differ from the defaults of `Training`.
        frozen: Those that differ from `training` where the whole backbone stays frozen.
    """

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    frozen: dict[str, Any] = field(default_factory=dict)


class Section(NamedTuple):
    """A table that a task adds to the report on an evaluation.

    Attributes:
        title: Heading.
        columns: Heading of each column.
        rows: Cells of each row, as text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Task(Named):
    """Base class of tasks: data, metrics and results of one kind of problem.

    Nothing else in the package branches on the task: `fit`, `evaluate`, `predict`, recipes, export,
    `check` and the commands ask it. A task of your own is a registered subclass, which recipes and
    `--task` name by its `name`. Loss and decoding belong to the head (`head.loss`,
    `head.decoding`).

    Attributes:
        name: Name of the task, which heads state and recipes contain.
        model: Class of its models: `Detector` for boxes, `Classifier` for one vector per image,
            `Segmenter` for maps, or your own.
        needs: Annotations that a dataset must have, see `Dataset.fields`.
        outputs: Names of the arrays that the head's decoding must return; the scores are the last.
        monitor: Name of the metric that selects `best.keras`.
        monitor_mode: Whether a larger ("max") or smaller ("min") value of `monitor` is better.
        shown: Names of the metrics shown during training; empty for `monitor` alone.
        title: Display name of the metrics.
        row_name: What a column of the targets is, and a row of the table of an evaluation: "class".
        resize: How images are brought to the size of the model's input, unless its field `resize`
            differs.
        detail: Size at which decoded training images are kept, relative to the model's input.
        has_places: Whether results are at places of the image. With several heads, others are
            listed above the image, where they hide nothing.
        data_fields: Fields of the head whose values the dataset provides, see `head_fields`. A head
            without such a field does not get it.
        score: Default score threshold of predictions, from 0 to 1.

    Example:
        >>> vg.tasks.Task.find("detection").monitor
        'AP'
    """

    attribute: ClassVar[str] = "name"
    noun: ClassVar[str] = "task"
    name: ClassVar[str]
    model: ClassVar[type]
    needs: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    monitor: ClassVar[str]
    monitor_mode: ClassVar[Literal["max", "min"]] = "max"
    shown: ClassVar[tuple[str, ...]] = ()
    title: ClassVar[str] = "metrics"
    row_name: ClassVar[str] = "class"
    resize: ClassVar[Resizing] = Letterbox()
    detail: ClassVar[float] = 1.0
    has_places: ClassVar[bool] = True
    data_fields: ClassVar[tuple[str, ...]] = ("num_classes",)
    score: Share = 0.0

    @classmethod
    def own_name(cls) -> str:
        """Return `name`.

        Raises:
            UserError: The task lacks a member.
        """
        _check_members(cls)
        return cls.name

    @classmethod
    def of_head(cls, head: Any) -> Self:
        """Return the task with what it takes from the head of a model; by default nothing.

        Args:
            head: Head of the task.
        """
        return cls()

    @property
    def units(self) -> dict[str, str]:
        """Unit of each predicted value by its name; empty without any."""
        return {}

    @property
    def row_names(self) -> str:
        """Plural of `row_name`."""
        return f"{self.row_name}es" if self.row_name.endswith("s") else f"{self.row_name}s"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics shown during training; the first selects `best.keras`."""
        return tuple(dict.fromkeys((self.monitor, *self.shown)))

    @property
    def needs_decoder(self) -> bool:
        """Whether a model needs a decoder between backbone and head, as its class states."""
        found: bool = self.model.needs_decoder  # type: ignore[attr-defined]
        return found

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Return how well the annotations of a dataset suit the task, from 0 to 1.

        The best of all tasks is that of a recipe that names none. A task that returns 0, as by
        default, is used only if it is named. If several tasks suit a dataset that has not been
        read, it is read.

        Args:
            fields: Names of the annotations, see `Dataset.fields`.
            dataset: Dataset, or None if it has not been read.
        """
        return 0.0

    def defaults(self) -> Defaults:
        """Return the parts and training fields of a recipe that only names the task.

        Raises:
            ConfigError: The task has no default model.
        """
        raise ConfigError(
            f"the task {self.name} has no default model",
            rule="a recipe with model.backbone and model.head",
            fix="model: {backbone: {type: CSPDarknet}, head: {type: ...}}",
        )

    def head_fields(self, dataset: Any) -> dict[str, Any]:
        """Return the values of `data_fields`.

        Args:
            dataset: Training split.
        """
        return {"num_classes": len(self.class_map(dataset))}

    def assumption(self, count: int) -> tuple[str, dict[str, Any]]:
        """Return values of `data_fields` for a figure of a model without its dataset, in words too.

        Args:
            count: Number of classes to assume.
        """
        return f"{count} {self.row_names}", {"num_classes": count}

    def class_map(self, dataset: Any) -> ClassMap:
        """Return the names of a dataset's classes, or of the values that the task predicts."""
        found: ClassMap = dataset.class_map
        return found

    def model_class_map(self, dataset: Any) -> Any:
        """Return the argument `class_map` of a model for a dataset; by default `class_map`."""
        return self.class_map(dataset)

    def class_names(self, head: Any) -> tuple[str, ...]:
        """Return names for the classes of a model without a class map.

        Args:
            head: Its head. Without the field `num_classes`, it has one class.
        """
        count = head.num_classes if isinstance(head, OfClasses) else 1
        return tuple(f"class {index}" for index in range(count))

    def check(self, dataset: Any) -> None:
        """Refuse a dataset without the annotations of the task.

        Raises:
            UserError: The dataset has no such annotations.
        """
        if len(dataset):
            fields = dataset.fields
            where = "" if set(self.needs) <= fields else _first(dataset)
            self.check_fields(fields, dataset.root, where)

    def check_fields(self, fields: frozenset[str], root: Any, where: str = "") -> None:
        """Refuse annotations that are not sufficient for the task.

        Args:
            fields: Names of the annotations, see `Dataset.fields`.
            root: Root of the dataset, for messages.
            where: Place of the first annotation; "" if none was read.

        Raises:
            UserError: Annotations that the task needs are missing.
        """
        missing = [name for name in self.needs if name not in fields]
        if missing:
            tasks = [kind() for kind in Task.by_name().values()]
            others = " or ".join(t.name for t in tasks if t.needs and set(t.needs) <= fields)
            raise UserError(
                f"{root} has no {' and no '.join(in_words(missing))}, which {self.name} needs",
                rule=f"a dataset with {' and '.join(in_words(self.needs))}",
                received=f"a dataset with {', '.join(in_words(fields)) or 'no annotations'}"
                + (f", the first of which is {where}" if where else ""),
                fix=f"a dataset with {' and '.join(in_words(missing))}, or a model of "
                + (f"the task {others}" if others else "another task"),
            )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return the default transforms of training images.

        Args:
            images: Number of images in the training split; None if it is not known.
            epochs: Epochs of the run; None if they are not known.
        """
        return ()

    def loader(
        self,
        dataset: Any,
        image_size: ImageSize,
        batch_size: int,
        transforms: Sequence[Transform] | None = None,
        resize: Resizing | None = None,
        **options: Any,
    ) -> Loader:
        """Create a loader of batches.

        Args:
            dataset: Dataset with the annotations of the task.
            image_size: (height, width) of the images in pixels.
            batch_size: Images per batch.
            transforms: Transforms of training images, in order; None for evaluation.
            resize: That of the model; None for that of the task.
            **options: `shuffle`, `seed`, `workers`, `drop_remainder`, `size_step`, `multi_scale`
                and `min_visibility` of the loader.

        Raises:
            UserError: The dataset has other annotations.
        """
        self.check(dataset)
        return Loader(
            dataset,
            image_size,
            batch_size,
            transforms,
            resize=self.resize if resize is None else resize,
            detail=self.detail,
            targets=self.to_targets,
            needs=self.needs,
            **options,
        )

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return the arrays that the loss needs, with fixed shapes.

        Args:
            sample: Sample whose image is on the canvas of the model.
            capacity: Largest number of objects of an image.
        """
        return targets_of(sample, capacity)

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metrics of an evaluation; one of them returns `monitor`.

        Args:
            class_map: Names of the classes.
        """
        raise NotImplementedError

    def arrays(self, y_true: Sequence[Sample], y_pred: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Return samples and results as a `keras.metrics.Metric` takes them.

        Returns:
            (y_true, y_pred, sample_weight): arrays, and weights or None.

        Raises:
            UserError: The results of the task are not arrays of one shape.
        """
        raise UserError(
            f"the task {self.name} cannot be evaluated by a metric of Keras",
            rule="a metric whose update_state takes lists of samples and results",
            fix="a metric of your own, with update_state(y_true, y_pred, sample_weight=None)",
        )

    def report(self, evaluation: Any) -> tuple[Section, ...]:
        """Return the tables to add to the report on an evaluation.

        Args:
            evaluation: `EvaluationResult` with the metrics.
        """
        return ()

    def ground_truth(self, dataset: Any, index: int) -> Sample:
        """Return the annotations of an image in its pixels, as the metrics take them."""
        found: Sample = dataset.annotated(index)
        return found

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the ground truth of one image of a batch, as the metrics take it.

        Args:
            targets: Targets of the batch, as the loss takes them.
            row: Row of the image in the batch.
            size: (height, width) of the image in pixels.
            index: Number of the image among all images of the evaluation.

        Raises:
            UserError: A target is missing, or the task cannot be evaluated on such batches.
        """
        raise UserError(
            f"the task {self.name} cannot be evaluated on batches of (images, targets)",
            rule="a dataset, or a task with the method ground_truth_of",
            fix="def ground_truth_of(self, targets, row, size, index): ...",
        )

    def needed_outputs(self, declared: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the arrays that `postprocess` takes; the scores are the last.

        Args:
            declared: Names of the arrays of a decoding, of which a task may take some more.
        """
        return self.outputs

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return a function from one image's decoded arrays to a result in model-input pixels.

        It is called with the arrays of `needed_outputs` as keyword arguments.

        Args:
            model: Model whose head decoded the arrays.
            score: Score threshold; None is for evaluation, where all results count.
            iou: IoU threshold of NMS; None is the default of the task.

        Raises:
            UserError: `iou` is given, but the results of the task are not suppressed.
        """
        raise NotImplementedError

    def renumbered(self, found: Any, order: np.ndarray, class_map: ClassMap) -> Any:
        """Convert a result to the class indices of a dataset.

        Args:
            found: Result with `classes`.
            order: int (classes,), class of the dataset for each class of the model.
            class_map: Names of the classes of the dataset.
        """
        classes = order[found.classes].astype(found.classes.dtype)
        return found.replace(classes=classes, class_map=class_map)

    def to_original(self, found: Any, placement: Placement, size: ImageSize) -> Any:
        """Convert a result from pixels of the model's input to pixels of the original image.

        Args:
            found: Result that `postprocess` returned.
            placement: Placement of the image in the model's input.
            size: (height, width) of the original image.
        """
        raise NotImplementedError

    def draw(self, image: np.ndarray, result: Any, class_map: ClassMap | None = None) -> np.ndarray:
        """Draw a result on a copy of its image.

        Args:
            image: Any image that `vg.drawing.to_display` accepts.
            result: Result in pixels of the image.
            class_map: Names of the classes; by default those of the result.

        Returns:
            uint8 RGB (height, width, 3).
        """
        return draw(image, result, class_map)

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> PredictionFiles:
        """Return the collector of results that `predict` writes to files.

        Args:
            class_map: Names of the classes, or None.
            threshold: Minimum score of a prediction.
        """
        return PredictionFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the decoded arrays of an exported file with those of its model.

        Args:
            expected: Arrays of the model by name, batch first.
            actual: Arrays of the file.
            **suppression: For boxes: `needs_nms`, whether they are suppressed, and `nms`, the `Nms`
                to apply; None for the default of the task.
        """
        return difference_of(expected, actual)

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray] | None:
        """Return example targets for `check`, or None if the task defines none.

        Args:
            head: Head under test.
            levels: Levels of its features.
            size: (height, width) of the images in pixels.
            batch: Number of images.
        """
        return None

    def empty_targets(
        self, head: Any, targets: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray] | None:
        """Return the targets of images without objects; None: the task has no such images.

        Args:
            head: Head under test.
            targets: Targets that `example_targets` returned.
        """
        return None

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match | None:
        """Compare what raw predictions that were fitted to targets decode to; None: not compared.

        Args:
            targets: Targets that `example_targets` returned.
            decoded: Arrays of the head's decoding by name, batch first.
            image: Number of the image in the batch.
        """
        return None

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Return what is wrong with decoded arrays, and advice; None if they are valid.

        Args:
            head: Head under test.
            decoded: Finite arrays of the head's decoding by name, batch first.
            size: (height, width) of the images in pixels.
        """
        return None


_ATTRIBUTES = {
    "name": '"counting"', "model": "vg.Detector", "needs": '("boxes",)', "outputs": '("scores",)',
    "monitor": '"AP"',
}  # fmt: skip
"""Attributes that each task must have, with an example."""
_METHODS = {
    "metrics": "class_map", "postprocess": "model, score=None, iou=None",
    "to_original": "found, placement, size",
}  # fmt: skip
"""Methods that each task must have, with their parameters."""


def _check_members(kind: type[Task]) -> None:
    """Raise an error if a class lacks what every task must have.

    It would otherwise be missed after the first epoch of a run.
    """
    members = dir(kind)
    missing = {
        name: f"{name} = {text}" for name, text in _ATTRIBUTES.items() if name not in members
    }
    missing |= {
        name: f"def {name}(self, {parameters}): ..."
        for name, parameters in _METHODS.items()
        if not any(name in vars(base) for base in kind.__mro__[: kind.__mro__.index(Task)])
    }
    if missing:
        raise UserError(
            f"the task {place(kind)} has no {next(iter(missing))!r}",
            rule="the attributes "
            + ", ".join(_ATTRIBUTES)
            + " and the methods "
            + ", ".join(_METHODS),
            received="missing: " + ", ".join(missing),
            fix=next(iter(missing.values())),
        )


_WORDS = {"rotated": "rotated boxes", "semantic": "semantic masks"}


def in_words(fields: Iterable[str]) -> list[str]:
    """Return the names of annotations, see `Dataset.fields`, as they are written in messages."""
    return sorted(_WORDS.get(name, name) for name in fields)


def target(targets: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return one of a batch's targets.

    Raises:
        UserError: It is missing; the message lists those that exist.
    """
    if name not in targets:
        raise UserError(
            f"the targets have no {name!r}",
            rule="the targets of the model's loss",
            received=", ".join(map(str, targets)) or "no targets",
        )
    return targets[name]


def refuse_iou(task: Task, iou: float | None) -> None:
    """Raise an error if an IoU threshold is given for a task without NMS.

    Raises:
        UserError: `iou` is not None.
    """
    if iou is not None:
        raise UserError(
            f"{option('iou', iou)} has no effect on {task.name}",
            rule="only detections are suppressed",
            fix=f"leave out {option('iou')}",
        )


def refuse_score(task: Task, score: float | None) -> None:
    """Raise an error if a score threshold is given for a task whose results have no scores.

    Raises:
        UserError: `score` is above 0.
    """
    if score:
        raise UserError(
            f"{option('score', score)} has no effect on {task.name}",
            rule="its results have no scores",
            fix=f"leave out {option('score')}",
        )


def model_fields(
    backbone: Backbone, decoder: Decoder, head: Head, image_size: int | None = None
) -> dict[str, Any]:
    """Return parts as the fields of `model` in a recipe, without what the data provide.

    Args:
        backbone: Backbone.
        decoder: Decoder.
        head: Head; its number of classes is left out.
        image_size: Side of the images in pixels; None for the default of a recipe.
    """
    fields: dict[str, Any] = {
        "backbone": backbone.to_dict(), "decoder": decoder.to_dict(), "head": head.to_dict(),
    }  # fmt: skip
    for name in Task.find(head.task).data_fields:
        del fields["head"][name]
    return fields if image_size is None else fields | {"image_size": [image_size, image_size]}


_ROUNDING = 1e-3


def invalid_scores(head: Any, decoded: Mapping[str, np.ndarray]) -> tuple[str, str] | None:
    """Return what is wrong with the scores of a head, and advice; None if they are valid.

    Args:
        head: Head with `num_classes`.
        decoded: Arrays of its decoding by name.
    """
    scores = decoded["scores"]
    if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
        return (
            f"scores range from {scores.min():.3g} to {scores.max():.3g}",
            "return scores from 0 to 1: ops.sigmoid or ops.softmax of the logits",
        )
    if scores.shape[-1] != head.num_classes:
        return (
            f"there are {scores.shape[-1]} score columns for {head.num_classes} classes",
            "return one score for each class, in the order of the classes",
        )
    return None


def _first(dataset: Any) -> str:
    """Return the place of the first object of a dataset, or "" without one."""
    if isinstance(dataset, Dataset):
        for index, row in enumerate(dataset.rows()):
            if len(row.classes):
                return dataset.location(index, 0)
    return ""
