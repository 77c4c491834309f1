"""Task of models with several heads: that of each head, under the head's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from visiongarden.drawing import to_display
from visiongarden.errors import UserError
from visiongarden.losses.combined import own_targets
from visiongarden.metrics import Metric
from visiongarden.metrics.several import WithClasses
from visiongarden.models import MultiHead
from visiongarden.parts import Head, OfClasses
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity
from visiongarden.tasks.task import Section, Task
from visiongarden.transforms import Letterbox, Resizing, Transform
from visiongarden.types import ClassMap, HeadResults, ImageSize, Placement

_PAPER = 255
"""Gray value behind the results that are listed above an image."""


def _written(band: np.ndarray) -> np.ndarray:
    """Return the rows of a picture up to the last one that is not empty."""
    rows = np.nonzero((band != _PAPER).any(axis=(1, 2)))[0]
    return band[: rows.max(initial=-1) + 1]


def common_resize(tasks: Iterable[Task]) -> Resizing:
    """Return the `resize` of tasks that agree, else a letterbox, which shows whole images."""
    found = {task.resize for task in tasks}
    return found.pop() if len(found) == 1 else Letterbox()


class OneOfSeveral:
    """Metric of one head.

    Args:
        head: Name of the head.
        metric: Metric of its task.
    """

    def __init__(self, head: str, metric: Metric) -> None:
        self.head, self.metric = head, metric
        self.name = f"{head}/{metric.name}"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add images: what each head is compared with, and the results of all heads."""
        samples = [each[self.head] for each in y_true]
        self.metric.update_state(samples, [each[self.head] for each in y_pred], sample_weight)

    def result(self) -> dict[str, float]:
        """Return the values, with the name of the head."""
        found = self.metric.result()
        values = found if isinstance(found, dict) else {self.metric.name: found}
        return {f"{self.head}/{name}": value for name, value in values.items()}

    def reset_state(self) -> None:
        """Forget all images."""
        self.metric.reset_state()

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the values of each class, by head and class."""
        if not isinstance(self.metric, WithClasses):
            return {}
        rows = self.metric.per_class()
        return {f"{self.head}/{name}": values for name, values in rows.items()}


@register
class MultiHeadTask(Task):
    """Task of a `MultiHead` model; each head has a task of its own.

    Attributes:
        heads: Heads of the model, by name.
        class_maps: Names of the classes of heads with other classes than the model's class map.

    Example:
        >>> heads = {"kind": vg.heads.Classification(num_classes=3)}
        >>> vg.tasks.MultiHeadTask(heads=heads).metric_names
        ('kind/top1',)
    """

    name = "multi_head"
    model = MultiHead
    title = "metrics of each head"
    data_fields: ClassVar[tuple[str, ...]] = ()
    heads: dict[str, Head] = Field(default_factory=dict)
    class_maps: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of_head(cls, head: Any) -> Self:
        """Return the task of combined heads."""
        return cls(heads=head.heads, class_maps=head.class_maps)

    # Cached: `to_targets` asks for it with each sample.
    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Task of each head, by the head's name."""
        return {n: Task.find(head.task).of_head(head) for n, head in self.heads.items()}

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]  # a constant of other tasks
        """Annotations that the heads need."""
        return tuple(dict.fromkeys(need for task in self.tasks.values() for need in task.needs))

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Arrays that the heads need, `head/output`."""
        pairs = self.tasks.items()
        return tuple(f"{name}/{output}" for name, task in pairs for output in task.outputs)

    def needed_outputs(self, declared: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the arrays that the heads need, `head/output`."""
        return tuple(
            f"{name}/{output}"
            for name, task in self.tasks.items()
            for output in task.needed_outputs(tuple(own_targets(dict.fromkeys(declared), name)))
        )

    @property
    def monitor(self) -> str:  # type: ignore[override]
        """Metric of the first head that selects its best model."""
        return next((f"{name}/{task.monitor}" for name, task in self.tasks.items()), "")

    @property
    def monitor_mode(self) -> Literal["max", "min"]:  # type: ignore[override]
        """Which values of `monitor` are better."""
        return next((task.monitor_mode for task in self.tasks.values()), "max")

    @property
    def shown(self) -> tuple[str, ...]:  # type: ignore[override]
        """Metrics of all heads that are shown during training."""
        pairs = self.tasks.items()
        return tuple(f"{name}/{metric}" for name, task in pairs for metric in task.metric_names)

    @property
    def resize(self) -> Resizing:  # type: ignore[override]
        """How images are resized: as the heads agree, else letterboxed, which shows all of them."""
        return common_resize(self.tasks.values())

    @property
    def detail(self) -> float:  # type: ignore[override]
        """Largest size at which a head wants images kept."""
        return max((task.detail for task in self.tasks.values()), default=1.0)

    @property
    def needs_decoder(self) -> bool:
        """Whether a head needs a decoder."""
        return any(task.needs_decoder for task in self.tasks.values())

    def check(self, dataset: Any) -> None:
        """Refuse a dataset that lacks annotations of a head."""
        super().check(dataset)
        for name, task in self.tasks.items():
            task.check(dataset)
            if name in self.class_maps and len(dataset):
                self._check_names(name, task.class_map(dataset), dataset)

    def _check_names(self, head: str, class_map: ClassMap, dataset: Any) -> None:
        if class_map.names != self.class_maps[head]:
            raise UserError(
                f"{dataset.root} has other classes than the head {head!r}",
                rule=", ".join(self.class_maps[head]),
                received=", ".join(class_map.names),
                fix="data with these classes, in this order",
            )

    def class_map(self, dataset: Any) -> ClassMap:
        """Return the class map of a dataset for the first head with the classes of the model."""
        first = self._first_of_classes()
        if first is None:
            return super().class_map(dataset)
        return self.tasks[first].class_map(dataset)

    def model_class_map(self, dataset: Any) -> Any:
        """Return the class map of a dataset for each head with classes, by the head's name."""
        named = [name for name, head in self.heads.items() if isinstance(head, OfClasses)]
        if not named:
            return self.class_map(dataset)
        return {name: self.tasks[name].class_map(dataset) for name in named}

    def _first_of_classes(self) -> str | None:
        return next(
            (
                name
                for name, head in self.heads.items()
                if isinstance(head, OfClasses) and name not in self.class_maps
            ),
            None,
        )

    def _class_map_of(self, name: str, class_map: ClassMap | None) -> ClassMap | None:
        """Return the class map of a head with classes, given that of the model."""
        return ClassMap(self.class_maps[name]) if name in self.class_maps else class_map

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return those of the task with labels or masks of whole images, else of the first head.

        Mosaics and mix-up combine images, of which a label describes only one.
        """
        tasks = list(self.tasks.values())
        whole = [task for task in tasks if not {"boxes", "masks"} & set(task.needs)]
        chosen = next(iter(whole or tasks), None)
        return () if chosen is None else chosen.transforms(images, epochs)

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return the targets of each head, `head/target`."""
        return {
            f"{name}/{target}": array
            for name, task in self.tasks.items()
            for target, array in task.to_targets(sample, capacity).items()
        }

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metrics of each head."""
        return [
            OneOfSeveral(name, metric)
            for name, task in self.tasks.items()
            for metric in task.metrics(self._classes(name, task, class_map))
        ]

    def _classes(self, name: str, task: Task, class_map: ClassMap) -> ClassMap:
        """Return the names of the classes or values of one head."""
        head = self.heads[name]
        own = self._class_map_of(name, class_map) or class_map
        return own if isinstance(head, OfClasses) else ClassMap(task.class_names(head))

    def class_names(self, head: Any) -> tuple[str, ...]:
        """Return names for the classes of a head with classes, if there is one."""
        chosen = self._first_of_classes() or next(iter(self.heads))
        return self.tasks[chosen].class_names(self.heads[chosen])

    def report(self, evaluation: Any) -> tuple[Section, ...]:
        """Return the tables of each head."""
        sections: list[Section] = []
        for name, task in self.tasks.items():
            own = replace(
                evaluation,
                metrics=own_targets(evaluation.metrics, name),
                per_class=own_targets(evaluation.per_class, name),
            )
            sections += [s._replace(title=f"{name}: {s.title}") for s in task.report(own)]
        return tuple(sections)

    def ground_truth(self, dataset: Any, index: int) -> Any:
        """Return what each head is compared with, by the head's name."""
        return {name: task.ground_truth(dataset, index) for name, task in self.tasks.items()}

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Any:
        """Return what each head is compared with, by the head's name."""
        return {
            name: task.ground_truth_of(own_targets(targets, name), row, size, index)
            for name, task in self.tasks.items()
        }

    def postprocess(
        self, model: Any, score: float | None = None, iou: float | None = None
    ) -> Callable[..., dict[str, Any]]:
        """Return a function that returns the result of each head.

        A score of 0 is the default of each head's task, and `iou` is for heads with boxes.
        """
        tasks = self.tasks
        if iou is not None and not any("boxes" in task.outputs for task in tasks.values()):
            next(iter(tasks.values())).postprocess(model, score, iou)  # raises the error
        functions = {}
        for name, task in tasks.items():
            # A task sees a model whose only head is its own.
            view = SimpleNamespace(parts=SimpleNamespace(head=self.heads[name]))
            own_score = None if score is None else (score or task.score)
            functions[name] = task.postprocess(
                view, own_score, iou if "boxes" in task.outputs else None
            )

        def postprocess(**arrays: np.ndarray) -> dict[str, Any]:
            return {n: function(**own_targets(arrays, n)) for n, function in functions.items()}

        return postprocess

    def renumbered(self, found: Any, order: np.ndarray, class_map: ClassMap) -> Any:
        """Convert the results of heads with classes to the class indices of a dataset."""
        results = {}
        for name, task in self.tasks.items():
            result = found[name]
            if isinstance(self.heads[name], OfClasses) and name not in self.class_maps:
                result = task.renumbered(result, order, class_map)
            results[name] = result
        return HeadResults(results, found.class_maps)

    def to_original(
        self, found: Mapping[str, Any], placement: Placement, size: ImageSize
    ) -> HeadResults:
        """Return the result of each head in pixels of the original image."""
        results = {
            name: task.to_original(found[name], placement, size)
            for name, task in self.tasks.items()
        }
        class_maps = {name: ClassMap(names) for name, names in self.class_maps.items()}
        # `replace` gives each of these heads its class map.
        return HeadResults(results, class_maps).replace(class_map=None)

    def draw(self, image: np.ndarray, result: Any, class_map: ClassMap | None = None) -> np.ndarray:
        """Draw the result of each head; what has no place in the image is listed above it."""
        picture, bands = to_display(image), []
        for name, task in self.tasks.items():
            found, names = result[name], self._class_map_of(name, class_map)
            if task.has_places:
                picture = task.draw(picture, found, names)
            else:
                empty = np.full((*picture.shape[:2], 3), _PAPER, np.uint8)
                bands.append(_written(task.draw(empty, found, names)))
        return np.concatenate([*bands, picture])

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the arrays of each head; the differences are the largest of all heads."""
        found = []
        for name, task in self.tasks.items():
            pair = own_targets(expected, name), own_targets(actual, name)
            own = {"needs_nms": self.heads[name].chosen_decoding().needs_nms}
            found.append(task.difference(*pair, **suppression | own))
        boxes = [each.boxes for each in found if each.boxes is not None]
        return Parity(
            scores=max(each.scores for each in found),
            images=found[0].images,
            found=sum(each.found for each in found),
            differing=max(each.differing for each in found),
            what="results",
            boxes=max(boxes) if boxes else None,
        )

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray] | None:
        """Return targets for each head; None if one of them has no such targets."""
        targets: dict[str, np.ndarray] = {}
        for name, task in self.tasks.items():
            own = head.heads[name]
            found = task.example_targets(own, own.levels or levels, size, batch)
            if found is None:
                return None
            targets |= {f"{name}/{target}": array for target, array in found.items()}
        return targets

    def empty_targets(
        self, head: Any, targets: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray] | None:
        """Return the targets of images without objects, for the heads that know such images."""
        empty = dict(targets)
        for name, task in self.tasks.items():
            found = task.empty_targets(head.heads[name], own_targets(targets, name))
            empty |= {f"{name}/{target}": array for target, array in (found or {}).items()}
        return empty

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match | None:
        """Return the comparison of the first head that differs, else that of the last head."""
        found: Match | None = None
        for name, task in self.tasks.items():
            own = task.match(own_targets(targets, name), own_targets(decoded, name), image)
            if own is None:
                continue
            found = replace(own, expected=f"{name}: {own.expected}", got=f"{name}: {own.got}")
            if not (own.learned and own.correct):
                return found
        return found

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Return what is wrong with the arrays of the first head with invalid ones."""
        for name, task in self.tasks.items():
            wrong = task.invalid_outputs(head.heads[name], own_targets(decoded, name), size)
            if wrong is not None:
                return f"head {name}: {wrong[0]}", wrong[1]
        return None
