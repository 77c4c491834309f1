"""Regression task: one or several values for each image, evaluated by R2 and errors in units."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.heads import Regression
from visiongarden.metrics import Metric, RegressionErrors
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, difference_of
from visiongarden.tasks.prediction_files import PredictionFiles
from visiongarden.tasks.task import Defaults, Section, refuse_iou, refuse_score
from visiongarden.tasks.whole_images import WholeImageTask, small_classifier
from visiongarden.transforms import HSV, Transform
from visiongarden.types import ClassMap, ImageSize, LabelMap, Values


class RegressionFiles(PredictionFiles):
    """Result files of regressions, as JSON and as a table with one line per image and value."""

    files = ("values.json", "values.csv")
    header = "file,name,value,unit"

    def found(self) -> str:
        """Return the range of each value."""
        ranges: dict[str, list[float]] = {}
        for row in self.rows:
            for each in row["values"]:
                ranges.setdefault(f"{each['name']} [{each['unit']}]", []).append(each["value"])
        return ", ".join(
            f"{name.removesuffix(' []')} from {min(values):.4g} to {max(values):.4g}"
            for name, values in ranges.items()
        )

    def texts(self) -> dict[str, str]:
        """Return the JSON file and the table."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header.split(","))
        for row in self.rows:
            for each in row["values"]:
                writer.writerow([row["file"], each["name"], each["value"], each["unit"]])
        return super().texts() | {"values.csv": text.getvalue()}


@register
class RegressionTask(WholeImageTask):
    """Regression: one or several values for each image, such as a steering angle.

    Attributes:
        value_names: Names of the values of a model.
        value_units: Unit of each value.
        scales: Standard deviation of each value in training, to which differences are relative.

    Example:
        >>> vg.tasks.Task.find("regression").monitor
        'R2'
    """

    name = "regression"
    outputs = ("values",)
    monitor = "R2"
    shown = ("R2", "MAE")
    title = "errors"
    row_name = "value"
    target_name = "values"
    data_fields: ClassVar[tuple[str, ...]] = ("names", "units", "means", "scales")

    value_names: tuple[str, ...] = ()
    value_units: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()

    @classmethod
    def of_head(cls, head: Any) -> Self:
        """Return the task with names, units and scales of the head.

        Raises:
            UserError: The head lacks one of these fields.
        """
        missing = [name for name in cls.data_fields if name not in dict(head)]
        if missing:
            raise UserError(
                f"the head {type(head).__name__} has no field {missing[0]!r}",
                rule=f"a head of the task {cls.name} with {', '.join(cls.data_fields)}",
                received=", ".join(dict(head)),
                fix="derive it from vg.heads.Regression, or declare another task",
            )
        return cls(value_names=head.names, value_units=head.units, scales=head.scales)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each value by its name."""
        return dict(zip(self.value_names, self.value_units, strict=True))

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit datasets whose labels are named values."""
        if "labels" not in fields:
            return 0.0
        if dataset is None:
            return 0.1
        return 0.9 if dataset.label_map is not None else 0.0

    def defaults(self) -> Defaults:
        """Return a small CSP backbone, see `small_classifier`."""
        head = Regression(names=("value",), units=("",), means=(0.0,), scales=(1.0,))
        return small_classifier(head)

    def head_fields(self, dataset: Any) -> dict[str, Any]:
        """Return names, units, means and standard deviations of the values of the images.

        Raises:
            UserError: A value is unknown for all images.
        """
        label_map: LabelMap = dataset.label_map
        values = np.array([dataset.annotated(i).labels for i in range(len(dataset))], np.float64)
        known = ~np.isnan(values)
        for name, column in zip(label_map.names, known.T, strict=True):
            if not column.any():
                raise UserError(
                    f"the value {name!r} is unknown for all images of {dataset.root}",
                    rule="at least one known value in the training split",
                    fix="a reader with the columns that have values, such as ValuesCSV(columns=…)",
                )
        scales = np.nanstd(values, axis=0)
        # A value that is the same in all images has no scale of its own.
        scales = np.where(scales > 0, scales, 1.0)
        return {
            "names": list(label_map.names),
            "units": list(label_map.units),
            "means": np.nanmean(values, axis=0).tolist(),
            "scales": scales.tolist(),
        }

    def assumption(self, count: int) -> tuple[str, dict[str, Any]]:
        """Return the fields of a head of one value."""
        return "1 value", {"names": ["value"], "units": [""], "means": [0.0], "scales": [1.0]}

    def class_map(self, dataset: Any) -> ClassMap:
        """Return the names of the values of a dataset."""
        return ClassMap(dataset.label_map.names)

    def class_names(self, head: Any) -> tuple[str, ...]:
        """Return the names of the values."""
        names: tuple[str, ...] = head.names
        return names

    def check(self, dataset: Any) -> None:
        """Refuse a dataset whose labels are classes, or whose units differ from those of the model.

        Raises:
            UserError: The labels are classes, or a unit differs.
        """
        super().check(dataset)
        if dataset.label_map is None:
            raise UserError(
                f"the labels of {dataset.root} are classes: "
                f"{', '.join(dataset.class_map.names)[:200]}",
                rule="named values for each image",
                fix="a reader of values, such as ValuesCSV, or another task",
            )
        given = dict(zip(dataset.label_map.names, dataset.label_map.units, strict=True))
        for name, unit in self.units.items():
            other = given.get(name, unit)
            # Without a unit nothing is known about a value, which may be in the other's unit.
            if unit and other and unit != other:
                raise UserError(
                    f"the value {name!r} is in {other} in {dataset.root}",
                    rule=f"the unit of the model, {unit}",
                    received=other,
                    fix="convert the values, or correct the unit in the reader",
                )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return changes of color alone: flips, crops and rotations would change many values."""
        return (HSV(),)

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "values": float32 (k,), in their units; NaN is unknown."""
        return {"values": np.asarray(sample.labels, np.float32)}

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metric: R2, and errors of each value in its unit."""
        return [RegressionErrors(class_map)]

    def report(self, evaluation: Any) -> tuple[Section, ...]:
        """Name the values whose R2 is 0, which a constant ground truth makes it."""
        rows = [
            (name, f"{row['RMSE']:.4g}")
            for name, row in evaluation.per_class.items()
            if row["R2"] == 0 and row["RMSE"] > 0
        ]
        title = "R2 is 0: the value is the same for all images, or predicted like its mean"
        return (Section(title, ("value", "RMSE"), tuple(rows)),) if rows else ()

    def arrays(
        self, y_true: Sequence[Sample], y_pred: Sequence[Values]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the true and the predicted values, both (batch, k); unknown ones weigh 0.

        With several values, an image with an unknown one weighs 0.
        """
        true = np.stack([np.asarray(sample.labels, np.float32) for sample in y_true])
        found = np.stack([result.values for result in y_pred])
        known = ~np.isnan(true)
        weights = np.asarray(known.all(axis=1), np.float32)
        return np.where(known, true, 0), found, weights

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return a function from the decoded values to `Values`.

        Raises:
            UserError: A threshold is given.
        """
        refuse_score(self, score)
        refuse_iou(self, iou)
        label_map = LabelMap(self.value_names, self.value_units)
        return lambda values: Values(values, label_map)

    def renumbered(self, found: Values, order: np.ndarray, class_map: ClassMap) -> Values:
        """Return the values in the order of a dataset."""
        places = np.argsort(order)
        units = found.label_map.units
        label_map = LabelMap(class_map.names, tuple(units[place] for place in places))
        return found.replace(values=found.values[places], label_map=label_map)

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> RegressionFiles:
        """Return the collector of `values.json` and `values.csv`."""
        return RegressionFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the values in standard deviations, since a unit may be of any size."""
        scales = np.array(self.scales or 1.0)
        return difference_of(
            {"values": expected["values"] / scales}, {"values": actual["values"] / scales}
        )

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return values of half a standard deviation above and below the means."""
        signs = np.where(np.arange(batch) % 2, 0.5, -0.5)[:, None]
        values = np.array([head.means]) + signs * np.array([head.scales])
        return {"values": values.astype(np.float32)}

    def empty_targets(self, head: Any, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return unknown values."""
        return {"values": np.full_like(targets["values"], np.nan)}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the values; a tenth of the distance between two examples is tolerated."""
        found, expected = decoded["values"][image], targets["values"][image]
        tolerance = 0.1 * np.ptp(targets["values"], axis=0) + 1e-3 * np.abs(expected)
        return Match(
            learned=True,
            correct=bool((np.abs(found - expected) <= tolerance).all()),
            expected=f"the values {expected.tolist()}",
            got=f"the values {found.tolist()}",
        )

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check the number of values."""
        found = decoded["values"]
        if found.shape[-1] == len(head.names):
            return None
        return (
            f"there are {found.shape[-1]} values for {len(head.names)} names",
            "return one value for each name, in the order of the names",
        )
