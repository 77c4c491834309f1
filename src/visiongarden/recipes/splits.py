"""`Splits`: the training and validation split of a run, read and checked."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from visiongarden.config.overrides import as_override
from visiongarden.data import Prints, fingerprint, leaked
from visiongarden.data.combined import Part, combined
from visiongarden.data.depth import Depth, depth_in
from visiongarden.data.readers import Reader, read
from visiongarden.doctor.checking import check, no_usable_box
from visiongarden.errors import DataError, spelled
from visiongarden.recipes.recipe import Data
from visiongarden.tasks import Task

_MAX_LEAKS = 3


def field_of_data(split: str, name: str, value: Any, number: int | None = None) -> str:
    """Spell an argument of `read` as an override, which works in Python and for `train`."""
    owner = "data" if number is None else f"data.{number}"
    field = f"{owner}.{split if name == 'split' else name}"
    return field if value is None else as_override(field, value)


def read_split(task: Task, data: Data | tuple[Data, ...], split: str) -> Any:
    """Read one split of a recipe's datasets.

    Args:
        task: Task of the recipe, which refuses data without the annotations that it needs.
        data: The dataset of the recipe, or several.
        split: "train" or "val"; the fields of `data` name the split to read.
    """
    if isinstance(data, Data) and data.is_plain:
        found = _read_one(data, split)
    else:
        several = (data,) if isinstance(data, Data) else data
        found = combined(
            [
                Part(
                    _read_one(each, split, None if each is data else number),
                    str(each.path),
                    each.weight,
                    each.classes,
                    each.fields,
                )
                for number, each in enumerate(several)
            ]
        )
    number = None if isinstance(data, Data) else 0
    with spelled(partial(field_of_data, split, number=number)):
        task.check(found)
    return found


def _read_one(data: Data, split: str, number: int | None = None) -> Any:
    with spelled(partial(field_of_data, split, number=number)):
        found = read(
            data.path,
            reader=data.reader,
            split=data.train if split == "train" else data.val,
            invalid_boxes=data.invalid_boxes,
            class_names=data.class_names,
        )
        return found.with_channels(data.channels)


@dataclass(frozen=True)
class Splits:
    """The training and validation split of a run.

    Attributes:
        task: Task of the run.
        data: The dataset of the recipe, or several.
        train: Training split.
        val: Validation split.
        prints: Digests of the image files, which are computed once.
    """

    task: Task
    data: Data | tuple[Data, ...]
    train: Any
    val: Any
    prints: Prints = field(default_factory=Prints)

    @classmethod
    def of(cls, task: Task, data: Data | tuple[Data, ...]) -> Splits:
        """Read both splits.

        Raises:
            DataError: A split cannot be read, or the splits have different classes.
        """
        splits = cls(task, data, *(read_split(task, data, name) for name in ("train", "val")))
        names, others = (task.class_map(each).names for each in (splits.train, splits.val))
        # The order may differ: evaluation matches classes by name.
        if set(names) != set(others):
            raise DataError(
                f"{splits.train.root}: the splits have different {task.row_names}",
                rule=f"{splits.train.split}: {', '.join(names)}",
                received=f"{splits.val.split}: {', '.join(others)}",
            )
        return splits

    def check(self) -> list[str]:
        """Check all images, and return warnings about what may be intended.

        Raises:
            DataError: An image is damaged, or the training split has no usable annotations.
        """
        check(self.train, trained_on=True, prints=self.prints)
        check(self.val, prints=self.prints)
        found = self._warnings_of_copies()
        if self._depth is not None and self._depth.is_dark:
            found.append(f"training images: {self._depth}")
        try:
            if "boxes" in self.task.needs:
                no_usable_box(self.val)
        except DataError as error:
            found.append(f"{error.what}, so {self.task.monitor} cannot be computed")
        both = (self.train, self.val)
        return [*found, *(f"dropped: {line}" for each in both for line in each.dropped)]

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the data, which a resumed run compares."""
        return fingerprint({"train": self.train, "val": self.val}, self.prints)

    def __str__(self) -> str:
        """Return the names and sizes of the data in one line."""
        return (
            f"{self.task.name} on {', '.join(str(data.path) for data in self._datasets)}: "
            f"{len(self.train)} training images, {len(self.val)} validation images, "
            f"{self.task.row_names} {', '.join(self.task.class_map(self.train).names)}"
        )

    def notes(self) -> list[str]:
        """Return what the readers noted about the labels, and the value range of 16-bit images."""
        both = (self.train, self.val)
        notes = [f"note: {each.split}: {note}" for each in both for note in each.notes]
        is_usual = self._depth is None or self._depth.is_dark
        return notes if is_usual else [*notes, f"note: training images: {self._depth}"]

    @cached_property
    def _depth(self) -> Depth | None:
        return depth_in(self.train)

    @property
    def _datasets(self) -> tuple[Data, ...]:
        return (self.data,) if isinstance(self.data, Data) else self.data

    def _warnings_of_copies(self) -> list[str]:
        """Return the warning about images that are in both splits.

        Copies raise the metrics, but they are a warning rather than an error: they may be intended,
        and a public dataset must stay comparable.
        """
        pairs = leaked(self.train, self.val, self.prints)
        if not pairs:
            return []
        if len(pairs) >= len(self.val):
            # As with `data.val=train`. `data check --fix` is not suggested here: without the
            # duplicates a split could be empty.
            return [
                f"all {len(self.val)} validation images are also training images, so the metrics "
                "do not show how the model performs on new images: keep some out of the training "
                "split"
            ]
        lines = [
            f"{len(pairs)} of {len(self.val)} validation images are also training images, "
            "so the metrics are too high:",
            *(
                f"    {val_image} is a copy of {train_image}"
                for train_image, val_image in pairs[:_MAX_LEAKS]
            ),
            *([f"    … and {len(pairs) - _MAX_LEAKS} more"] if len(pairs) > _MAX_LEAKS else []),
            f"  to train without the copies: {self._command_of_a_fix()}",
        ]
        return ["\n".join(lines)]

    def _command_of_a_fix(self) -> str:
        if len(self._datasets) > 1:
            return "leave them out of one of the datasets"
        (data,) = self._datasets
        words = ["visiongarden", "data", "check", str(data.path), "--fix", f"{data.path}-fixed"]
        return shlex.join([*words, *_option_of(data.reader)])


def _option_of(reader: Reader | str) -> list[str]:
    """Return the arguments that select a reader on the command line; none for "auto"."""
    if isinstance(reader, str):
        return []
    fields = reader.to_dict()
    return ["--reader", str(fields["type"]) if len(fields) == 1 else json.dumps(fields)]
