"""Train small detectors on several devices and print the results, for `test_devices.py`.

Argument: a JSON list of runs, each with `devices` (or null), `folder`, and fields of `Training`.
They run one after another, because starting takes much longer than a run. Prints a JSON list.
"""

import hashlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
from tests.training.tiny import TinyBackbone

import visiongarden as vg
from visiongarden.backends import host_watch
from visiongarden.backends.distribution import copies, distributed, reported
from visiongarden.backends.engine import engine
from visiongarden.backends.precision import compute_in_float64
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.backends.training_state import sync_state
from visiongarden.errors import UserError
from visiongarden.evaluation import make_validator
from visiongarden.training import Training, fit


class Note(keras.callbacks.Callback):
    """Keeps the mean of the loss after each step, and compares the replicas."""

    stop_at, kill_at, kill_rank, hang_at, seen, apart = None, None, 1, None, 0, 0.0
    spoil_at = None

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen == self.hang_at and engine().rank == engine().processes - 1:
            print("HANGS", flush=True)
            time.sleep(600)

    def on_train_batch_end(self, batch, logs=None):
        assert type(self.model) is vg.Detector  # no wrapper
        self.seen += 1
        self.losses.append(float(logs["loss"]))
        if self.seen == self.stop_at and engine().rank == engine().processes - 1:
            self.model.stop_training = True
        if self.seen == self.kill_at and engine().rank == self.kill_rank:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seen == self.spoil_at and engine().rank == engine().processes - 1:
            sync_state(self.model)
            spoil(self.model.trainable_variables[0])
        for variable in (*self.model.variables, *self.model.optimizer.variables):
            copies = [np.array(copy, "float64") for copy in copies_of(variable)]
            for other in copies[1:]:
                self.apart = max(self.apart, float(np.abs(copies[0] - other).max(initial=0)))


def copies_of(variable):
    """The values of a variable on the replicas of this process."""
    value = variable.value
    if keras.backend.backend() == "tensorflow":
        return [each.numpy() for each in vars(value).get("_values", ())]
    return []


def spoil(variable):
    """Change the last copy of a variable in this process."""
    if keras.backend.backend() != "jax":
        (*_, copy) = copies(variable.value)
        copy.assign_add(copy * 0 + 1) if hasattr(copy, "assign_add") else variable.assign(copy + 1)
        return
    import jax

    (*others, last) = copies(variable.value)
    shape, sharding = variable.value.shape, variable.value.sharding
    variable.assign(jax.make_array_from_single_device_arrays(shape, sharding, [*others, last + 1]))


def batches(count=10, size=32, images=8):
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        corner, sides = rng.uniform(2, 12, (images, 3, 2)), rng.uniform(6, 18, (images, 3, 2))
        boxes = np.concatenate([corner, corner + sides], -1).astype(np.float32)
        classes = rng.integers(-1, 2, (images, 3)).astype(np.int32)
        pixels = rng.integers(0, 255, (images, size, size, 3)).astype(np.uint8)
        found.append((pixels, {"boxes": boxes, "classes": classes}))
    return found


def pieces(batch, count):
    """A batch as several smaller ones."""
    images, targets = batch
    parts = [np.split(each, count) for each in (images, *targets.values())]
    return [(x, dict(zip(targets, each, strict=True))) for x, *each in zip(*parts, strict=True)]


def detector(levels=("p3",), classes=2, normalizes=True):
    """A detector; `normalizes=False` keeps batch normalization from using the batch."""
    keras.utils.set_random_seed(0)
    model = vg.Detector(
        backbone=TinyBackbone(),
        decoder=vg.decoders.FPN(channels=8, levels=levels),
        head=vg.heads.AnchorFree(num_classes=classes),
        image_size=32,
    )
    for layer in with_sublayers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = normalizes
    return model


def digest(model):
    arrays = [keras.ops.convert_to_numpy(weight.value) for weight in model.weights]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def trained(model):
    return [keras.ops.convert_to_numpy(w.value) for w in model.trainable_weights]


def evaluated(given):
    """Metrics and loss of a model on the dataset in `folder`, in batches of two images."""
    with engine().scope():
        model = detector(classes=5)
    data = vg.read(given["folder"], split="train")
    validate = make_validator(data, batch_size=2, loss=model.parts.head.chosen_loss())
    return {"metrics": validate(model)}


def trained_run(given):
    """What a training run saw, or its error, which every process has."""
    with engine().scope():
        model = detector(normalizes=given.get("normalizes", True))
    note = Note()
    for name in ("stop_at", "kill_at", "kill_rank", "hang_at", "spoil_at"):
        setattr(note, name, given.get(name, getattr(note, name)))
    settings = Training(tensorboard=False, **given["training"])
    data = batches(given.get("count", 10))
    data = [part for batch in data for part in pieces(batch, given.get("pieces", 1))]
    try:
        fit(
            model, data, given["folder"], settings, callbacks=(note,),
            resume=given.get("resume", False),
        )  # fmt: skip
    except UserError as error:
        return {"error": str(error)}
    return {
        "losses": note.losses,
        "weights": digest(model),
        "values": [w.tolist() for w in trained(model)] if engine().rank == 0 else None,
        "apart": note.apart,
        "files": sorted(file.name for file in Path(given["folder"]).glob("*")),
    }


def results(runs):
    if "behind" in runs[0]:
        host_watch.BEHIND = runs[0]["behind"]
        if keras.backend.backend() == "tensorflow":
            from visiongarden.backends import tensorflow_replicas

            tensorflow_replicas.TIMEOUT = runs[0]["behind"]
    with distributed(runs[0]["devices"]), reported():
        for given in runs:
            if given.get("float64"):
                compute_in_float64()
            yield evaluated(given) if given.get("evaluates") else trained_run(given)


if __name__ == "__main__":
    logging.basicConfig()
    try:
        found = list(results(json.loads(sys.argv[1])))
    except UserError as error:
        found = [{"error": str(error)}]
    print("RESULT" + json.dumps(found))
    sys.exit("error" in found[-1])
