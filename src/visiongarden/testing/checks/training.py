"""Check of training mode: it must run, and differ from inference only where layers use it."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.testing.arrays import TOLERANCE, difference, numpy_leaves
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.subject import Subject

_NOISE_LAYERS = (
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
    "GaussianDropout", "GaussianNoise",
)  # fmt: skip


def training(subject: Subject) -> Finding:
    """Check that `training=True` gives finite outputs and reaches every sublayer that uses it.

    Batch normalization must update its statistics, and dropout and noise layers must have an
    effect. The outputs may differ from inference only if some layer takes `training`.
    """
    layer = subject.main
    if _defaults_to_training(subject.cls):
        return failed(
            "training defaults to True in call(), so it also applies in inference",
            "call(self, x, training=False)",
        )
    inference = numpy_leaves(subject.call(layer))
    state = _state(layer)
    try:
        trained = numpy_leaves(subject.call(layer, training=True))
    except Exception as error:
        return failed(
            f"the call fails with training=True: {describe(error)}", advice_for(error, "fix call()")
        )
    if not all(np.isfinite(a).all() for a in trained if a.dtype.kind == "f"):
        return failed(
            "the outputs are not finite with training=True", "fix the training branch of call()"
        )
    if [a.shape for a in trained] != [a.shape for a in inference]:
        return failed(
            f"the output shapes differ with training=True: {[a.shape for a in trained]}",
            "return the same tensors in training and inference",
        )
    after = _state(layer)
    changed = {path for path, value in after.items() if (value != state[path]).any()}
    differs = difference(inference, trained)
    for sub in with_sublayers(layer):
        if _is_idle(sub, changed, differs):
            return failed(
                f"training=True does not reach {sub.name} ({type(sub).__name__})",
                "do not pass training=False to sublayers; Keras passes `training` on automatically",
            )
    with_training = [s.name for s in with_sublayers(layer) if _takes_training(s)]
    if differs > TOLERANCE and not with_training:
        return failed(
            f"training differs from inference by {differs:.2g}, but no layer has a training "
            "argument",
            "add the argument to call() and use it: call(self, x, training=False)",
        )
    return passed(
        f"differs by {differs:.1g}; {len(with_training)} layer(s) have a training argument"
    )


def _defaults_to_training(cls: type[Any]) -> bool:
    if not issubclass(cls, keras.Layer):  # a part, which has no `call`
        return False
    argument = inspect.signature(cls.call).parameters.get("training")
    return argument is not None and argument.default is True


def _state(layer: Any) -> dict[str, np.ndarray]:
    return {
        f"{i}/{v.path}": np.array(keras.ops.convert_to_numpy(v.value))
        for i, v in enumerate(layer.variables)
        if not v.trainable
    }


def _is_idle(sub: Any, changed: set[str], differs: float) -> bool:
    """Return whether a batch normalization, dropout or noise layer had no effect in training."""
    if not sub.trainable:
        return False
    if isinstance(sub, keras.layers.BatchNormalization):
        return sub.moving_mean is not None and not _any(changed, sub.moving_mean.path)
    if type(sub).__name__ in _NOISE_LAYERS and _share(sub):
        seeds = [v.path for v in sub.variables]
        return differs == 0 and not any(_any(changed, path) for path in seeds)
    return False


def _share(sub: Any) -> float:
    return max(float(vars(sub).get(name) or 0) for name in ("rate", "stddev"))


def _any(changed: set[str], path: str) -> bool:
    return any(name.split("/", 1)[1] == path for name in changed)


def _takes_training(sub: Any) -> bool:
    return "training" in sub.call_signature_parameters
