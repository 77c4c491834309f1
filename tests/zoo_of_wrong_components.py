"""Components with one bug each, and the check that finds it."""

import json
from typing import ClassVar

import keras
import numpy as np
from keras import ops

import visiongarden as vg
from visiongarden.assigners import Assigner, TaskAligned
from visiongarden.errors import ModelFileError
from visiongarden.losses import BoxLoss, ClassificationLoss, Loss, RegionLoss, ScoreLoss
from visiongarden.metrics import TopKAccuracy
from visiongarden.postprocess import SoftmaxDecoding
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.tasks import ClassificationTask, DetectionTask
from visiongarden.types import Assignment, Term

WRONG = {}
"""(class or function, check) by name. Tests register the classes."""


def finds(check):
    def decorate(value):
        WRONG[f"{value.__name__}-{check}"] = (value, check)
        return value

    return decorate


# Losses of heads.
@finds("registered")
class Unregistered(ClassificationLoss):
    pass


@finds("runs")
class ReturnsNumbers(ClassificationLoss):
    def __call__(self, raw, targets, context):
        return {
            name: t.total / t.count for name, t in super().__call__(raw, targets, context).items()
        }


@finds("sums")
class DividesByItsCount(ClassificationLoss):
    def __call__(self, raw, targets, context):
        found = super().__call__(raw, targets, context)
        return {name: Term(t.total / t.count, ops.ones(())) for name, t in found.items()}


@finds("gradients")
class IgnoresTheOutput(Loss):
    terms: ClassVar = ("class",)
    targets: ClassVar = ("labels",)

    def __call__(self, raw, targets, context):
        labels = ops.cast(targets["labels"], "float32")
        return {"class": Term(ops.sum(labels), ops.sum(labels))}


@finds("no_objects")
class NaNWithoutObjects(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        found = super().__call__(raw, targets, context)
        objects = ops.sum(ops.cast(targets["classes"] >= 0, "float32"))
        return {name: Term(t.total * objects / objects, t.count) for name, t in found.items()}


@finds("padding")
class CountsPadding(vg.losses.AnchorFreeLoss):
    def __call__(self, raw, targets, context):
        found = super().__call__(raw, targets, context)
        rows = ops.sum(ops.ones_like(ops.cast(targets["classes"], "float32")))
        return found | {"box": Term(found["box"].total, rows)}


# Parts of losses.
@finds("runs")
class Averages(ScoreLoss):
    def __call__(self, targets, logits):
        return ops.mean(vg.losses.binary_crossentropy(targets, logits))


@finds("elementwise")
class DividesByTheBatch(ScoreLoss):
    def __call__(self, targets, logits):
        found = vg.losses.binary_crossentropy(targets, logits)
        return found / ops.sum(found)


@finds("prefers_target")
class SwapsItsArguments(ScoreLoss):
    def __call__(self, targets, logits):
        return ops.square(targets - ops.sigmoid(-logits))


@finds("finite")
class LogarithmOfZero(ScoreLoss):
    def __call__(self, targets, logits):
        p = ops.sigmoid(logits)
        return -targets * ops.log(p) - (1 - targets) * ops.log(1 - p)


@finds("runs")
class OneLossForAllBoxes(BoxLoss):
    def __call__(self, targets, boxes):
        return ops.sum(ops.abs(targets - boxes))


@finds("prefers_target")
class RewardsDistance(BoxLoss):
    def __call__(self, targets, boxes):
        return 1 / (1 + ops.sum(ops.square(targets - boxes), axis=-1))


@finds("finite")
class RootOfZero(BoxLoss):
    def __call__(self, targets, boxes):
        return ops.sqrt(ops.sum(ops.square(targets - boxes), axis=-1))


@finds("prefers_target")
class IgnoresWeights(RegionLoss):
    def __call__(self, targets, probabilities, weights):
        return ops.mean(ops.abs(targets - probabilities), axis=(1, 2))


# Assigners.
class _Changed(TaskAligned):
    def __call__(self, candidates, targets):
        return self.changed(*super().__call__(candidates, targets), targets)


@finds("runs")
class ReturnsATuple(TaskAligned):
    def __call__(self, candidates, targets):
        return tuple(super().__call__(candidates, targets))


@finds("runs")
class FloatIndices(_Changed):
    def changed(self, index, weight, targets):
        return Assignment(ops.cast(index, "float32"), weight)


@finds("indices")
class CountsFromOne(_Changed):
    def changed(self, index, weight, targets):
        return Assignment(index + 1, weight)


@finds("indices")
class WeightsOfTheBackground(_Changed):
    def changed(self, index, weight, targets):
        return Assignment(index, weight + 0.1)


@finds("padding")
class AssignsPadding(Assigner):
    def __call__(self, candidates, targets):
        boxes = ops.cast(targets["boxes"], "float32")
        points = ops.convert_to_tensor(candidates.points)[None, :, None]
        low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
        inside = ops.cast(ops.all((points > low) & (points < high), axis=-1), "float32")
        index = ops.where(ops.any(inside > 0, axis=-1), ops.argmax(inside, axis=-1), -1)
        index = boxes.shape[1] - 1 - index
        index = ops.where(index == boxes.shape[1], -1, index)
        return Assignment(ops.cast(index, "int32"), ops.cast(index >= 0, "float32"))


@finds("no_objects")
class AlwaysAPositive(_Changed):
    def changed(self, index, weight, targets):
        first = ops.cast(ops.arange(index.shape[1]) == 0, "int32")
        return Assignment(ops.where(first, 0, index), ops.where(first, 1.0, weight))


@finds("repeatable")
class Random(_Changed):
    def changed(self, index, weight, targets):
        return Assignment(index, weight * keras.random.uniform(weight.shape))


@finds("batch_independence")
class UsesTheBatch(_Changed):
    def changed(self, index, weight, targets):
        other = ops.max(index, axis=0, keepdims=True)
        index = ops.where(weight > 0, ops.broadcast_to(other, index.shape), -1)
        return Assignment(index, weight)


@finds("objects_assigned")
class AssignsNothing(_Changed):
    def changed(self, index, weight, targets):
        return Assignment(ops.zeros_like(index) - 1, ops.zeros_like(weight))


@finds("max_positives")
class TooFewPositives(TaskAligned):
    def max_positives(self, objects, candidates):
        return 1


@finds("no_gradient")
class LetsTheGradientPass(TaskAligned):
    def __call__(self, candidates, targets):
        found = super().__call__(candidates, targets)
        scores = ops.max(ops.convert_to_tensor(candidates.scores), axis=-1)
        return Assignment(found.index, found.weight * scores)


# Decodings.
@finds("runs")
class NoProbabilities(SoftmaxDecoding):
    def __call__(self, raw, context):
        return {"scores": 5 * super().__call__(raw, context)["scores"]}


@finds("batch_independence")
class NormalizesTheBatch(SoftmaxDecoding):
    def __call__(self, raw, context):
        (level,) = raw.values()
        return {"scores": ops.softmax(level["classes"], axis=0)}


@finds("in_graph")
class UsesNumPy(SoftmaxDecoding):
    def __call__(self, raw, context):
        (level,) = raw.values()
        logits = np.asarray(keras.ops.convert_to_numpy(level["classes"]))
        return {"scores": ops.softmax(ops.convert_to_tensor(logits), axis=-1)}


# Readers. The reader of lines `name x1 y1 x2 y2` is right, each of the others has one bug.
class Lines(vg.data.Reader):
    examples: ClassVar = {
        "files": {"train/a.lines": "cat 1 2 9 8\n", "train/a.png": (16, 24),
                  "val/b.lines": "cat 0 0 4 4\n", "val/b.png": (16, 24)}
    }  # fmt: skip

    def matches(self, source):
        return 0.9 if any(source.root.glob("*/*.lines")) else 0.0

    def splits(self, source):
        return tuple(sorted({file.parent.name for file in source.root.glob("*/*.lines")}))

    def read(self, source, split):
        samples = []
        for file in sorted(source.root.glob(f"{split}/*.lines")):
            size = vg.data.image_size(file.with_suffix(".png"))
            boxes = self.boxes(source, file)
            info = ImageInfo(len(samples), file.with_suffix(".png"), size)
            objects = Instances(size, Boxes(np.reshape(boxes, (-1, 4))), [0] * len(boxes))
            samples.append(Sample(info, instances=objects))
        return vg.data.Dataset(vg.ClassMap(("cat",)), samples, split)

    def boxes(self, source, file):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            source.errors.add(str(file), str(error))
            return []
        return [
            box
            for number, line in enumerate(lines, 1)
            if (box := self.box(source, file, number, line))
        ]

    def box(self, source, file, number, line):
        try:
            name, *corners = line.split()
            if name == "cat" and len(corners) == 4:
                return [float(corner) for corner in corners]
        except ValueError:
            pass
        source.errors.add(f"{file}:{number}", "not a name and a box")
        return None


@finds("matches")
class MatchesEverything(Lines):
    def matches(self, source):
        return 0.5


@finds("matches")
class ParsesToMatch(Lines):
    def matches(self, source):
        files = list(source.root.glob("*/*.lines"))
        return float(files[0].read_text().split()[1] != "") if files else 0.0


@finds("splits")
class OneSplitAsText(Lines):
    def splits(self, source):
        return "train"


@finds("reads")
class ReadsNothing(Lines):
    def read(self, source, split):
        return vg.data.Dataset(vg.ClassMap(("cat",)), [], split)


@finds("repeatable")
class NoArchive(Lines):
    def boxes(self, source, file):
        with open(str(file)) as stream:  # noqa: PTH123
            return [[float(x) for x in line.split()[1:]] for line in stream]


@finds("pickles")
class Unpicklable(Lines):
    def read(self, source, split):
        class Local(list):
            fields = frozenset({"boxes"})

        found = super().read(source, split)
        return vg.data.Dataset(found.class_map, Local(found), split)


@finds("damaged")
class FailsOnDamage(Lines):
    def boxes(self, source, file):
        return [[float(x) for x in line.split()[1:]] for line in file.read_text().splitlines()]


# Writers.
class Whole(vg.data.writers.Writer):
    format: ClassVar = "whole"
    reader: ClassVar = "Lines"

    def write(self, splits, folder):
        lost = []
        for split, dataset in splits.items():
            (folder / split).mkdir()
            for sample in dataset:
                stem = sample.info.source.stem
                (folder / split / f"{stem}.png").write_bytes(sample.info.source.read_bytes())
                lines = self.lines(sample, lost)
                (folder / split / f"{stem}.lines").write_text("".join(f"cat {x}\n" for x in lines))
        return lost

    def lines(self, sample, lost):
        lost.append(f"{sample.info.source.name}: names of classes, masks")
        return [" ".join(map(str, box)) for box in np.asarray(sample.instances.boxes).tolist()]


@finds("declared")
class NoFormat(Whole):
    pass


@finds("writes")
class ReturnsNothing(Whole):
    format: ClassVar = "nothing"

    def write(self, splits, folder):
        super().write(splits, folder)


@finds("repeatable")
class RandomNames(Whole):
    format: ClassVar = "random"

    def write(self, splits, folder):
        (folder / f"{np.random.default_rng().integers(10**9)}.txt").write_text("a")
        return super().write(splits, folder)


@finds("reads_back")
class Silent(Whole):
    format: ClassVar = "silent"

    def lines(self, sample, lost):
        return super().lines(sample, [])[:1]


# Exporters, which keep the model in memory instead of writing it.
class Memory(vg.exporters.Exporter):
    format: ClassVar = "memory"
    suffix: ClassVar = ".memory"
    graphs: ClassVar = []

    def export(self, model, path, signature, data=None):
        self.graphs.append(vg.exporters.with_decoding(model, signature.image_size))
        path.write_text(json.dumps([len(self.graphs) - 1, signature.to_dict()]))

    def load(self, path):
        try:
            number, fields = json.loads(path.read_text())
        except ValueError as error:
            raise ModelFileError(f"{path} is not valid") from error
        signature = vg.exporters.Signature.from_dict(fields)
        return vg.exporters.ExportedModel(signature, lambda x: self.run(self.graphs[number], x))

    def run(self, graph, images):
        return {n: np.asarray(v) for n, v in graph.predict_on_batch(images).items()}


@finds("declared")
class NoSuffix(vg.exporters.Exporter):
    format: ClassVar = "nosuffix"
    suffix: ClassVar = "nosuffix"


@finds("exports")
class OtherPredictions(Memory):
    format, suffix = "other", ".other"

    def run(self, graph, images):
        return {n: v + 0.1 for n, v in super().run(graph, images).items()}


@finds("batches")
class MixesTheBatch(Memory):
    format, suffix = "mixes", ".mixes"

    def run(self, graph, images):
        found = super().run(graph, images)
        # The parity check has two images.
        return {n: v[::-1] if len(v) == 3 else v for n, v in found.items()}


@finds("invalid_files")
class OpensAnything(Memory):
    format, suffix = "anything", ".anything"

    def load(self, path):
        number, fields = json.loads(path.read_text())
        signature = vg.exporters.Signature.from_dict(fields)
        return vg.exporters.ExportedModel(signature, lambda x: self.run(self.graphs[number], x))


# Tasks.
@finds("members")
class NoMonitor(vg.tasks.Task):
    name = "no_monitor"
    model = vg.Classifier
    needs = ("labels",)
    outputs = ("scores",)


class _OfClasses(ClassificationTask):
    examples: ClassVar = {"head": vg.heads.Classification(num_classes=3)}


class _OfBoxes(DetectionTask):
    examples: ClassVar = {"head": vg.heads.AnchorFree(num_classes=3, bins=2)}


@finds("targets_fixed")
class OpenTargets(_OfBoxes):
    name = "open_targets"

    def to_targets(self, sample, capacity):
        return super().to_targets(sample, max(len(sample.instances), 1))


@finds("targets_of_loss")
class OtherTargets(_OfClasses):
    name = "other_targets"

    def to_targets(self, sample, capacity):
        return {"grades": super().to_targets(sample, capacity)["labels"]}


@finds("results")
class PixelsOfTheModel(_OfBoxes):
    name = "pixels_of_the_model"

    def to_original(self, found, placement, size):
        return found


@finds("metrics")
class OtherMonitor(_OfClasses):
    name = "other_monitor"
    monitor = "AP"


@finds("draws")
class DrawsInPlace(_OfClasses):
    name = "draws_in_place"

    def draw(self, image, result, class_map=None):
        image[:] = 0
        return image


@finds("difference")
class NeverDiffers(_OfClasses):
    name = "never_differs"

    def difference(self, expected, actual, needs_nms=True, nms=None):
        return super().difference(expected, expected, needs_nms, nms)


@finds("example_targets")
class OneExample(_OfClasses):
    name = "one_example"

    def example_targets(self, head, levels, size, batch):
        return super().example_targets(head, levels, size, 1)


# Metrics.
class _TopK(TopKAccuracy):
    def __init__(self, class_map=vg.ClassMap(("a", "b", "c")), name="top_k"):  # noqa: B008
        super().__init__(class_map, name)


@finds("methods")
class NoReset:
    name = "no_reset"

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return 0.0


@finds("runs")
class NoNumber(_TopK):
    def result(self):
        return {"top1": "high"}


@finds("empty")
class FailsWithoutImages(_TopK):
    def result(self):
        return {"top1": 1 / int(self.confusion.sum())}


@finds("reset")
class KeepsImages(_TopK):
    def reset_state(self):
        before = getattr(self, "confusion", 0)
        super().reset_state()
        self.confusion = self.confusion + before


@finds("order")
class LastBatchOnly(_TopK):
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.reset_state()
        super().update_state(y_true, y_pred)


@finds("batches")
class MeanOfMeans:
    name = "mean_of_means"

    def __init__(self):
        self.reset_state()

    def reset_state(self):
        self.means = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.means.append(max(float(found.scores[0]) for found in y_pred))

    def result(self):
        return float(np.mean(self.means)) if self.means else float("nan")


@finds("merge")
class MergesNothing(_TopK):
    def merge_state(self, metrics):
        pass


# Keras's kinds.
@finds("runs")
class Ascends(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(-gradient, variable, learning_rate)


@finds("state")
class StateInPython(keras.optimizers.SGD):
    calls = 0

    def update_step(self, gradient, variable, learning_rate):
        factor = 1.0 if not hasattr(self, "counter") else 0.5
        super().update_step(gradient * factor, variable, learning_rate)

    def apply(self, grads, trainable_variables=None):
        type(self).calls += 1
        scale = 1.0 / type(self).calls
        return super().apply([g * scale for g in grads], trainable_variables)


@finds("config")
class ForgetsTheDecay(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.01, decay=0.1, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.decay = decay


@finds("runs")
class Negative(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 1.0 - ops.cast(step, "float32")

    def get_config(self):
        return {}


@finds("runs")
class NoBase(keras.callbacks.Callback):
    def set_model(self, model):
        pass


@finds("named")
class TakesAFunction(keras.callbacks.Callback):
    examples: ClassVar = {"config": {"function": print}}

    def __init__(self, function):
        super().__init__()


@finds("runs")
class AlwaysFloat32(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.zeros(shape, "float32")


@finds("runs")
@keras.saving.register_keras_serializable("wrong")
def overflowing(x):
    return ops.exp(ops.exp(x))
