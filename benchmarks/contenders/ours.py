"""Contender: a detector of visiongarden on the backend that KERAS_BACKEND selects."""

import contextlib
import os

import numpy as np

from benchmarks.contenders.worker import each, serve

OPEN = contextlib.ExitStack()
"""Contexts that stay open until the process ends."""


def detector(options):
    """Build a YOLOv8-style detector, without or with masks, or a small RetinaNet."""
    import visiongarden as vg

    if options.get("model") == "retinanet":
        return vg.Detector(
            vg.backbones.ResNet(depth=18, width=0.5),
            vg.decoders.FPN(channels=64, extra_levels=2),
            vg.heads.RetinaNetHead(num_classes=options.get("classes", 80), filters=64),
            image_size=options["size"],
            dtype=options.get("dtype"),
        )
    head = vg.heads.AnchorFreeMasks if options.get("model") == "masks" else vg.heads.AnchorFree
    depth, width = options.get("depth", 0.33), options.get("width", 0.25)
    return vg.Detector(
        vg.backbones.CSPDarknet(
            depth=depth, width=width, max_channels=options.get("max_channels", 1024)
        ),
        vg.decoders.PathAggregation(depth=depth),
        head(num_classes=options.get("classes", 80)),
        image_size=options["size"],
        dtype=options.get("dtype"),
    )


def batch(options):
    """Return random images, uint8 (b, s, s, 3), and a dict of random targets.

    "boxes" (b, m, 4) and "classes" (b, m); for a model with masks also "masks" (b, m, s/4, s/4),
    which fill the boxes.
    """
    rng = np.random.default_rng(0)
    count, size, objects = options["batch"], options["size"], options.get("objects", 8)
    images = rng.integers(0, 255, (count, size, size, 3)).astype(np.uint8)
    low = rng.uniform(0, size * 0.7, (count, objects, 2))
    high = low + rng.uniform(size * 0.05, size * 0.3, (count, objects, 2))
    boxes = np.concatenate([low, high], -1).astype(np.float32)
    classes = rng.integers(0, options.get("classes", 80), (count, objects)).astype(np.int32)
    targets = {"boxes": boxes, "classes": classes}
    if options.get("model") == "masks":
        centers = (np.arange(size // 4) + 0.5) * 4
        inside = [
            (centers > boxes[..., i, None]) & (centers < boxes[..., i + 2, None]) for i in (0, 1)
        ]
        targets["masks"] = (inside[1][..., :, None] & inside[0][..., None, :]).astype(np.uint8)
    return images, targets


def compiled(model, loss, eager=False, jit=None):
    """Compile a model for a loss as `fit` does, or eager, and return it."""
    import keras

    from visiongarden.training import Training
    from visiongarden.training.building import make_optimizer
    from visiongarden.training.running import trained_with

    OPEN.enter_context(trained_with(model, loss))
    plain = Training(optimizer={"type": "VectorSGD", "global_clipnorm": None}, ema_decay=None)
    jit = keras.backend.backend() == "jax" and not eager if jit is None else jit
    model.compile(make_optimizer(plain, 1000), jit_compile=jit, run_eagerly=eager)
    return model


def prepare(options):
    """Prepare a `mode`: "infer", "train" (the whole step) or "graph" (with a trivial loss)."""
    import visiongarden  # noqa: F401  before Keras, which imports the backend: see `use_onednn`

    # isort: split
    import keras

    from visiongarden.backends.feeding import feed
    from visiongarden.backends.random_state import seed_everything
    from visiongarden.evaluation import Predictor

    seed_everything(0)
    model, example = detector(options), batch(options)
    images = example[0]
    facts = {"parameters": model.count_params(), "backend": keras.backend.backend()}
    if options["mode"] == "infer":
        predictor = Predictor(model)
        return each(lambda: predictor.raw(images)), facts
    loss = model.parts.head.loss if options["mode"] == "train" else squares()
    compiled(model, loss, jit=options.get("jit"))

    def run(count):
        batches = (example for _ in range(count))
        model.fit(feed(batches), steps_per_epoch=count, shuffle=False, verbose=0)

    return run, facts


def squares():
    """Return a loss that is the mean square of all outputs."""
    import keras

    from visiongarden.losses import Loss
    from visiongarden.types import Term

    class Squares(Loss):
        terms = ("loss",)

        def __call__(self, raw, targets, context):
            outputs = keras.tree.flatten(raw)
            total = sum(keras.ops.mean(keras.ops.square(x)) for x in outputs)
            return {"loss": Term(total, keras.ops.ones(()))}

    return Squares()


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    serve(prepare)
