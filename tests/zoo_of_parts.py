"""Parts: wrong ones, with the check that must fail and a word of its advice, and valid ones.

`WRONG` maps a class to (check, advice, constructor arguments), `VALID` to constructor arguments,
`WARNED` to the check that warns of it.
"""

import itertools
import random
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

import visiongarden as vg
from visiongarden.ops import cells_of, flat, one_hot
from visiongarden.types import Term

WRONG = {}
VALID = {}
WARNED = {}


def register_wrong(check, advice, **config):
    def note(cls):
        WRONG[cls] = (check, advice, config)
        return vg.register(package="parts")(cls)

    return note


def register_valid(**config):
    def note(cls):
        VALID[cls] = config
        return vg.register(package="parts")(cls)

    return note


def register_warned(check, **config):
    def note(cls):
        WARNED[cls] = (check, config)
        return vg.register(package="parts")(cls)

    return note


# Heads on YOLOv8's layers with another decoding or loss.


def changed(cls):
    return vg.register(package="parts")(cls)


class Changed(vg.postprocess.AnchorFreeDecoding):
    """The anchor-free decoding, changed by a method of boxes and scores."""

    def __call__(self, raw, context):
        found = super().__call__(raw, context)
        return self.change(found["boxes"], found["scores"], context.image_size)

    def change(self, boxes, scores, size):
        raise NotImplementedError


@changed
class CenterFormat(Changed):
    def change(self, boxes, scores, size):
        x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
        boxes = ops.concatenate([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)
        return {"boxes": boxes, "scores": scores}


@register_wrong("loss_decode", "center", num_classes=3, bins=2)
class CenterBoxes(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = CenterFormat()


@changed
class SharesOfTheImage(Changed):
    def change(self, boxes, scores, size):
        sides = ops.cast([size[1], size[0], size[1], size[0]], boxes.dtype)
        return {"boxes": boxes / sides, "scores": scores}


@register_wrong("loss_decode", "shares", num_classes=3, bins=2)
class Shares(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = SharesOfTheImage()


@changed
class RowsBeforeColumns(Changed):
    def change(self, boxes, scores, size):
        return {"boxes": ops.take(boxes, [1, 0, 3, 2], axis=-1), "scores": scores}


@register_wrong("loss_decode", "(x1, y1, x2, y2)", num_classes=3, bins=2)
class RowsFirst(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = RowsBeforeColumns()


@changed
class Reversed(Changed):
    def change(self, boxes, scores, size):
        return {"boxes": boxes, "scores": ops.flip(scores, axis=-1)}


@register_wrong("loss_decode", "alike", num_classes=3, bins=2)
class ClassesReversed(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = Reversed()


@changed
class Logits(Changed):
    def change(self, boxes, scores, size):
        return {"boxes": boxes, "scores": ops.log(scores + 1e-9) - ops.log(1 - scores + 1e-9)}


@register_wrong("decode", "sigmoid", num_classes=3, bins=2)
class LogitsAsScores(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = Logits()


@changed
class Concatenated(Changed):
    def change(self, boxes, scores, size):
        return ops.concatenate([boxes, scores], axis=-1)


@register_wrong("decode", "dict", num_classes=3, bins=2)
class OneArray(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = Concatenated()


@changed
class OtherNames(Changed):
    def change(self, boxes, scores, size):
        return {"boxes": boxes, "classes": scores}


@register_wrong("decode", "outputs: ClassVar", num_classes=3, bins=2)
class OutputOfAnotherName(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = OtherNames()


@changed
class BoxesAlone(Changed):
    outputs: ClassVar[tuple[str, ...]] = ("boxes",)

    def change(self, boxes, scores, size):
        return {"boxes": boxes}


@register_wrong("decode", "needs the outputs boxes, scores", num_classes=3, bins=2)
class NoScores(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = BoxesAlone()


@changed
class Failing(Changed):
    def change(self, boxes, scores, size):
        return {"boxes": boxes[..., :4, None] + scores, "scores": scores}


@register_wrong("decode", "implement __call__(self, raw, context)", num_classes=3, bins=2)
class DecodeFails(vg.heads.AnchorFree):
    decoding: vg.postprocess.Decoding = Failing()


@changed
class RaisingLoss(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        raise KeyError("areas")


@register_wrong("loss", "loss(raw, targets, context)", num_classes=3, bins=2)
class LossRaises(vg.heads.AnchorFree):
    loss: vg.losses.Loss = RaisingLoss()


@changed
class ClassLossAlone(vg.losses.AnchorFreeLoss):
    terms: ClassVar[tuple[str, ...]] = ("class",)

    def __call__(self, raw, targets, context):
        return {"class": super().__call__(raw, targets, context)["class"]}


@register_wrong("loss", "each output", num_classes=3, bins=2)
class LossIgnoresBoxes(vg.heads.AnchorFree):
    loss: vg.losses.Loss = ClassLossAlone()


@changed
class LossPerImage(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        terms = super().__call__(raw, targets, context)
        return {name: Term(ops.repeat(t.total, 3), t.count) for name, t in terms.items()}


@register_wrong("loss", "scalar", num_classes=3, bins=2)
class LossOfEachImage(vg.heads.AnchorFree):
    loss: vg.losses.Loss = LossPerImage()


@changed
class NumberLoss(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        return sum(term.total for term in super().__call__(raw, targets, context).values())


@register_wrong("loss", "return a dict", num_classes=3, bins=2)
class LossReturnsANumber(vg.heads.AnchorFree):
    loss: vg.losses.Loss = NumberLoss()


@changed
class QuotientLoss(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        return vg.losses.quotients(super().__call__(raw, targets, context))


@register_wrong("loss", "return Term(total, count)", num_classes=3, bins=2)
class LossReturnsQuotients(vg.heads.AnchorFree):
    loss: vg.losses.Loss = QuotientLoss()


@changed
class DividedLoss(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        terms = super().__call__(raw, targets, context)
        return {
            name: Term(t.total / ops.maximum(t.count, 1.0), ops.ones_like(t.count))
            for name, t in terms.items()
        }


@register_wrong("loss", "undivided", num_classes=3, bins=2)
class LossDividesByItsOwnCount(vg.heads.AnchorFree):
    loss: vg.losses.Loss = DividedLoss()


@changed
class OtherTerms(vg.losses.AnchorFreeLoss):
    terms: ClassVar[tuple[str, ...]] = ("box", "cls", "dfl")


@register_wrong("loss", "terms =", num_classes=3, bins=2)
class LossNamesOthers(vg.heads.AnchorFree):
    loss: vg.losses.Loss = OtherTerms()


@changed
class ZeroDivision(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        count = ops.sum(ops.cast(targets["classes"] >= 0, "float32"))
        terms = super().__call__(raw, targets, context)
        return {name: Term(t.total * 2 / count, t.count) for name, t in terms.items()}


@register_wrong("loss", "divided by at least 1", num_classes=3, bins=2)
class LossDividesByZero(vg.heads.AnchorFree):
    loss: vg.losses.Loss = ZeroDivision()


@changed
class PointDecoding(vg.postprocess.Decoding):
    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")

    def __call__(self, raw, context):
        cells = cells_of(sorted(raw), context.image_size)
        centers = ops.cast(cells.centers, "float32")
        strides = ops.cast(ops.reshape(cells.strides, (-1, 1)), "float32")
        sides = ops.exp(flat(raw, "boxes")) * strides
        boxes = ops.concatenate([centers - sides[..., :2], centers + sides[..., 2:]], axis=-1)
        return {"boxes": boxes, "scores": ops.sigmoid(flat(raw, "classes"))}


@changed
class PointLoss(vg.losses.Loss):
    """As FCOS: the cells whose center is inside the box learn its four distances, in strides."""

    terms: ClassVar[tuple[str, ...]] = ("box", "class")
    targets: ClassVar[tuple[str, ...]] = ("boxes", "classes")
    weight: float = 2.0

    def __call__(self, raw, targets, context):
        boxes, classes = targets["boxes"], targets["classes"]
        cells = cells_of(sorted(raw), context.image_size)
        logits, sides = flat(raw, "classes"), flat(raw, "boxes")
        centers = ops.cast(cells.centers, "float32")
        strides = ops.cast(ops.reshape(cells.strides, (-1, 1)), "float32")
        box = ops.cast(boxes[:, :1], "float32")
        there = ops.cast(classes[:, :1] >= 0, "float32")
        wanted = ops.concatenate([centers - box[..., :2], box[..., 2:] - centers], axis=-1)
        inside = ops.cast(ops.all(wanted > 0, axis=-1), "float32") * there
        target = ops.maximum(wanted, 1e-3) / strides
        count = ops.sum(inside)
        error = ops.sum(ops.abs(ops.log(target) - sides), axis=-1)
        hot = one_hot(ops.maximum(classes[:, :1], 0), context.head.num_classes) * inside[..., None]
        entropy = ops.sum(ops.binary_crossentropy(hot, logits, from_logits=True))
        return {
            "box": Term(self.weight * ops.sum(error * inside), count),
            "class": Term(entropy, count),
        }


@register_wrong("loss", "each output", num_classes=3)
class IgnoresObjectness(vg.Head):
    num_classes: int
    loss: vg.losses.Loss = PointLoss()
    decoding: vg.postprocess.Decoding = PointDecoding()

    def wire(self, features):
        raw = {}
        for level, x in features.items():
            y = keras.layers.Conv2D(5 + self.num_classes, 1, name=f"{level}_out")(x)
            raw[level] = {"boxes": y[..., :4], "objectness": y[..., 4:5], "classes": y[..., 5:]}
        return raw


@changed
class Widened(vg.postprocess.SoftmaxDecoding):
    def __call__(self, raw, context):
        scores = super().__call__(raw, context)["scores"]
        return {"scores": ops.concatenate([scores, scores[:, :1]], axis=-1)}


@register_wrong("decode", "one score for each class", num_classes=4)
class OneColumnTooMany(vg.heads.Classification):
    decoding: vg.postprocess.Decoding = Widened()


# Graphs that come out differently each time.

_COUNT = itertools.count()


@register_wrong("stable_paths", "enumerate")
class CountedBackbone(vg.Backbone):
    levels: tuple[str, ...] = ("p1",)

    def wire(self, images):
        x = keras.layers.Conv2D(4, 3, 2, "same", name=f"conv{next(_COUNT)}")(images)
        return {"p1": x}


@register_wrong("stable_paths", "enumerate")
class CountedByTheClass(vg.Decoder):
    made: ClassVar[list[str]] = []

    def wire(self, features):
        out = {}
        for level in self.levels:
            self.made.append(level)
            name = f"{level}_{len(self.made)}"
            out[level] = keras.layers.Conv2D(8, 1, name=name)(features[level])
        return out


@register_wrong("stable_paths", "random number", num_classes=3, bins=2)
class RandomlyNamed(vg.heads.AnchorFree):
    def wire(self, features):
        number = random.SystemRandom().randrange(10**9)
        features = {
            level: keras.layers.Conv2D(8, 1, name=f"{level}_{number}")(x)
            for level, x in features.items()
        }
        return super().wire(features)


# Fields that no file can hold.


@register_wrong("config_complete", "text")
class CallableField(vg.Backbone):
    levels: tuple[str, ...] = ("p1",)
    act: Callable[..., Any] = keras.activations.relu

    def wire(self, images):
        return {"p1": self.act(keras.layers.Conv2D(4, 3, 2, "same", name="conv")(images))}


@register_wrong("config_complete", "text", acts=(keras.activations.relu, keras.activations.gelu))
class CallablesInATuple(vg.Decoder):
    acts: tuple[Callable[..., Any], ...]

    def wire(self, features):
        return {level: self.acts[0](features[level]) for level in self.levels}


@register_wrong("config_complete", "text", rates=np.array([1.0, 2.0]))
class ArrayField(vg.Decoder):
    rates: Any

    def wire(self, features):
        return {level: features[level] * float(self.rates[0]) for level in self.levels}


# Fields without an effect.


@register_warned("fields_used")
class UnusedField(vg.Backbone):
    levels: tuple[str, ...] = ("p1",)
    filters: int = 4
    dropout: float = 0.1

    def wire(self, images):
        return {"p1": keras.layers.Conv2D(self.filters, 3, 2, "same", name="conv")(images)}


@register_warned("fields_used", num_classes=3)
class UnusedSmoothing(vg.heads.Classification):
    focus: float = 2.0


# Valid ones.


@register_valid(num_classes=3)
class Points(vg.Head):
    """One convolution that all levels share."""

    num_classes: int
    width: int = 8
    loss: vg.losses.Loss = PointLoss()
    decoding: vg.postprocess.Decoding = PointDecoding()

    def wire(self, features):
        stem = keras.layers.Conv2D(self.width, 3, padding="same", name="stem")
        out = keras.layers.Conv2D(4 + self.num_classes, 1, name="out")
        raw = {}
        for level, x in features.items():
            x = keras.layers.Conv2D(self.width, 1, name=f"{level}_in")(x)
            y = out(stem(x))
            raw[level] = {"boxes": y[..., :4], "classes": y[..., 4:]}
        return raw


@changed
class ManyLabels(vg.losses.Loss):
    """Sigmoid cross-entropy, without fields."""

    terms: ClassVar[tuple[str, ...]] = ("class",)

    def __call__(self, raw, targets, context):
        (level,) = raw.values()
        losses = ops.binary_crossentropy(targets["labels"], level["classes"], from_logits=True)
        return {"class": Term(ops.sum(losses), ops.sum(ops.ones_like(losses)))}


@changed
class Sigmoids(vg.postprocess.Decoding):
    outputs: ClassVar[tuple[str, ...]] = ("scores",)

    def __call__(self, raw, context):
        (level,) = raw.values()
        return {"scores": ops.sigmoid(level["classes"])}


@register_valid(num_classes=4)
class ManyLabelsHead(vg.Head):
    num_classes: int
    task: ClassVar[str] = "classification"
    loss: vg.losses.Loss = ManyLabels()
    decoding: vg.postprocess.Decoding = Sigmoids()

    def wire(self, features):
        level, x = list(features.items())[-1]
        x = keras.layers.GlobalMaxPooling2D(name="max")(x)
        return {level: {"classes": keras.layers.Dense(self.num_classes, name="out")(x)}}


@changed
class DepthLoss(vg.losses.Loss):
    terms: ClassVar[tuple[str, ...]] = ("depth",)

    def __call__(self, raw, targets, context):
        errors = ops.square(targets["depth"])
        return {"depth": Term(ops.sum(errors), ops.sum(ops.ones_like(errors)))}


@changed
class Depths(vg.postprocess.Decoding):
    outputs: ClassVar[tuple[str, ...]] = ("depth",)

    def __call__(self, raw, context):
        (level,) = raw.values()
        return {"depth": level["depth"]}


@register_valid()
class DepthHead(vg.Head):
    """Head for a custom task, without known targets or classes."""

    task: ClassVar[str] = "depth"
    loss: vg.losses.Loss = DepthLoss()
    decoding: vg.postprocess.Decoding = Depths()

    def wire(self, features):
        level, x = next(iter(features.items()))
        return {level: {"depth": keras.layers.Conv2D(1, 1, name="out")(x)}}


@register_valid()
class TokensWithPositions(vg.Backbone):
    """A vision transformer's stem: the number of positions follows from the image's size."""

    levels: tuple[str, ...] = ("p4",)
    width: int = 8

    def wire(self, images):
        x = keras.layers.Conv2D(self.width, 16, 16, name="patches")(images)
        height, width = x.shape[1], x.shape[2]
        x = keras.layers.Reshape((height * width, self.width), name="tokens")(x)
        x = Positions(name="positions")(x)
        y = keras.layers.LayerNormalization(name="norm")(x)
        x = x + keras.layers.MultiHeadAttention(2, 4, name="attend")(y, y)
        return {"p4": keras.layers.Reshape((height, width, self.width), name="map")(x)}


@vg.register(package="parts")
class Positions(keras.layers.Layer):
    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(1, *input_shape[1:]), initializer="random_normal", name="table"
        )

    def call(self, x):
        return x + self.table


@register_valid()
class OneMoreLevel(vg.Decoder):
    """Add a coarser level to the outputs."""

    filters: int = 8

    @property
    def output_levels(self):
        return (*self.levels, "p6")

    def wire(self, features):
        out = {
            level: keras.layers.Conv2D(self.filters, 1, name=f"{level}_mix")(features[level])
            for level in self.levels
        }
        x = features[self.levels[-1]]
        out["p6"] = keras.layers.Conv2D(self.filters, 3, 2, "same", name="p6_down")(x)
        return out
