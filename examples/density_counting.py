"""Count objects by a density map: a task with its own head, loss, metric and result.

The head predicts for each cell of a feature map how much of an object is in it; the sum over an
image is the number of its objects (Lempitsky and Zisserman 2010).
"""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import keras
import numpy as np
from keras import ops

import visiongarden as vg
from visiongarden.losses import smooth_l1
from visiongarden.samples import ImageInfo, Instances, RotatedBoxes, Sample
from visiongarden.types import Prediction, Term, stride_of


def density_of(maps):
    """Return the density map, which is positive: the softplus of the logits."""
    return ops.softplus(ops.cast(maps["logits"], "float32"))


@vg.register
class DensityLoss(vg.losses.Loss):
    """Squared error of the density map and smooth L1 error of the counts, per image.

    Attributes:
        sigma: standard deviation of an object's share around its center, in cells.
        count_gain: weight of the error of the counts.
    """

    terms: ClassVar[tuple[str, ...]] = ("density", "count")
    targets: ClassVar[tuple[str, ...]] = ("points", "classes")
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes",)
    sigma: float = 1.0
    count_gain: float = 0.1

    def __call__(self, raw, targets, context):
        ((level, maps),) = raw.items()
        found, stride = density_of(maps), context.levels[level].stride
        centers = ops.cast(targets["points"], "float32") / stride
        height, width = (side // stride for side in context.image_size)
        columns = self._shares(centers[..., 0], width)
        rows = self._shares(centers[..., 1], height)
        # The class -1, which pads, is in no column.
        numbers = ops.arange(context.head.num_classes, dtype="int32")
        is_class = ops.cast(targets["classes"], "int32")[..., None] == numbers
        objects = ops.cast(is_class, "float32")
        true = ops.einsum("bmh,bmw,bmc->bhwc", rows, columns, objects)
        counts = ops.sum(found, axis=(1, 2)) - ops.sum(objects, axis=1)
        images = ops.sum(ops.ones_like(found[:, 0, 0, 0]))
        return {
            "density": Term(ops.sum(ops.square(found - true)), images),
            "count": Term(self.count_gain * ops.sum(smooth_l1(0.0, counts)), images),
        }

    def _shares(self, centers, cells):
        away = (ops.arange(cells, dtype="float32") + 0.5 - centers[..., None]) / self.sigma
        # A softmax, so that an object at the border counts as one as well.
        return ops.softmax(-0.5 * ops.square(away), axis=-1)


@vg.register
class DensityDecoding(vg.postprocess.Decoding):
    """The density map; part of the exported graph."""

    outputs: ClassVar[tuple[str, ...]] = ("density",)

    def __call__(self, raw, context):
        (maps,) = raw.values()
        return {"density": density_of(maps)}


@vg.register
class DensityHead(vg.Head):
    """A density map of one level for each class.

    Attributes:
        num_classes: number of classes.
        channels: number of channels of the hidden convolution.
        levels: the level whose cells are counted.
        loss: loss of the density map.
        decoding: decoding to the density map.
    """

    task: ClassVar[str] = "density_counting"
    num_classes: int
    channels: int = 32
    levels: tuple[str, ...] = ("p3",)
    loss: vg.losses.Loss = DensityLoss()
    decoding: vg.postprocess.Decoding = DensityDecoding()

    def wire(self, features):
        (level,) = self.levels
        x = vg.layers.ConvNormAct(self.channels, 3, name="hidden")(features[level])
        # An untrained map is nearly empty, as the maps of most images are.
        bias = keras.initializers.Constant(-4.0)
        x = keras.layers.Conv2D(self.num_classes, 1, bias_initializer=bias, name="out")(x)
        return {level: {"logits": x}}


@dataclass(repr=False)
class Counts(Prediction):
    """Number of objects of each class in one image, and where they are.

    Attributes:
        density: float32 (rows, columns, classes), objects per cell of the image.
    """

    density: np.ndarray

    @property
    def counts(self):
        return self.density.sum(axis=(0, 1), dtype=np.float64)

    def named(self):
        """Return the counts by class name."""
        numbers = map(str, range(len(self.counts)))
        names = self.class_map.names if self.class_map else numbers
        return dict(zip(names, self.counts.tolist(), strict=True))

    def __repr__(self):
        return f"Counts({', '.join(f'{name} {n:.1f}' for name, n in self.named().items())})"

    def to_dict(self):
        return {"counts": self.named()}


class CountErrors:
    """Mean absolute error (MAE) and root mean square error (RMSE) of the counts of each class."""

    def __init__(self, class_map, name="count_errors"):
        self.class_map, self.name = class_map, name
        self.reset_state()

    def reset_state(self):
        self.errors = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        for sample, found in zip(y_true, y_pred, strict=True):
            classes = np.asarray(sample.instances.classes, np.int64)
            true = np.bincount(classes, minlength=len(self.class_map))
            self.errors.append(found.counts - true)

    def result(self):
        rows = self.per_class().values()
        return {name: float(np.mean([row[name] for row in rows])) for name in ("MAE", "RMSE")}

    def per_class(self):
        errors = np.reshape(self.errors, (-1, len(self.class_map)))
        if not len(errors):
            errors = np.full((1, len(self.class_map)), np.nan)
        columns = dict(zip(self.class_map.names, errors.T, strict=True))
        return {
            name: {"MAE": float(np.abs(e).mean()), "RMSE": float(np.sqrt((e**2).mean()))}
            for name, e in columns.items()
        }


@vg.register
class DensityCounting(vg.tasks.Task):
    """Counting: the number of objects of each class, from datasets with boxes.

    Attributes:
        stride: stride of the level that the head of a model counts.
    """

    name = "density_counting"
    model = vg.Segmenter
    needs = ("boxes",)
    outputs = ("density",)
    monitor = "MAE"
    monitor_mode = "min"
    title = "errors of the counts"
    stride: int = 8

    @classmethod
    def of_head(cls, head):
        return cls(stride=stride_of(head.levels[0]))

    def transforms(self, images=None, epochs=None):
        return (vg.transforms.HorizontalFlip(), vg.transforms.HSV())

    def to_targets(self, sample, capacity):
        found, count = sample.instances, len(sample.instances)
        points, classes = np.zeros((capacity, 2), np.float32), np.full(capacity, -1, np.int32)
        if count:
            boxes = np.asarray(found.boxes)
            is_rotated = isinstance(found.boxes, RotatedBoxes)  # these begin with their center
            points[:count] = boxes[:, :2] if is_rotated else (boxes[:, :2] + boxes[:, 2:]) / 2
            classes[:count] = found.classes
        return {"points": points, "classes": classes}

    def metrics(self, class_map):
        return [CountErrors(class_map)]

    def ground_truth_of(self, targets, row, size, index):
        classes = targets["classes"][row]
        objects = Instances(size, classes=classes[classes >= 0])
        return Sample(ImageInfo(index, None, size), instances=objects)

    def postprocess(self, model, score=None, iou=None):
        return Counts

    def to_original(self, found, placement, size):
        """Remove the cells of the canvas around the image."""
        (sx, sy), (x, y) = placement.scale, placement.offset
        left, top = round(x / self.stride), round(y / self.stride)
        right, bottom = ((x + size[1] * sx) / self.stride, (y + size[0] * sy) / self.stride)
        return found.replace(density=found.density[top : round(bottom), left : round(right)])

    def renumbered(self, found, order, class_map):
        density = found.density[..., np.argsort(order)]
        return found.replace(density=density, class_map=class_map)

    def draw(self, image, result, class_map=None):
        picture = vg.drawing.to_display(image).copy()
        heat = cv2.resize(result.density.sum(axis=-1), picture.shape[1::-1])
        heat = np.clip(255 * heat / max(float(heat.max()), 1e-6), 0, 255).astype(np.uint8)
        picture[..., 0] = np.maximum(picture[..., 0], heat)
        lines = [f"{name} {n:.1f}" for name, n in result.named().items()]
        return vg.drawing.draw_lines(picture, lines, list(range(len(lines))))

    def example_targets(self, head, levels, size, batch):
        points = np.full((batch, 4, 2), [size[1] / 2, size[0] / 2], np.float32)
        classes = np.full((batch, 4), -1, np.int32)
        classes[:, 0] = np.arange(batch) % head.num_classes
        return {"points": points, "classes": classes}

    def empty_targets(self, head, targets):
        return targets | {"classes": np.full_like(targets["classes"], -1)}

    def match(self, targets, decoded, image):
        found = decoded["density"][image].sum(axis=(0, 1))
        true = np.zeros(len(found))
        true[targets["classes"][image, 0]] = 1
        return vg.tasks.Match(
            learned=True,
            correct=bool(np.abs(found - true).max() < 0.2),
            expected=f"the counts {true.tolist()}",
            got=f"the counts {found.round(2).tolist()}",
        )
