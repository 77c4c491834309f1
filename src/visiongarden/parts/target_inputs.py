"""Targets as optional inputs of a head: given in training, None in predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from visiongarden.errors import UserError, nearest
from visiongarden.types import Tensor

_SHAPES: dict[str, tuple[tuple[int | None, ...], str]] = {
    "boxes": ((None, 4), "float32"),
    "classes": ((None,), "int32"),
    "crowd": ((None,), "bool"),
    "labels": ((None,), "float32"),
    "semantic": ((None, None), "int32"),
}
"""Shape without the batch, and type, of each target that a head can take."""

PREFIX = "target_"
"""Start of the names of the inputs, which differ from those of levels."""


def target_inputs(names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return an optional input for each target, by its name.

    Args:
        names: names of targets.

    Raises:
        UserError: a head cannot take such a target.
    """
    return {name: _input(name) for name in names}


def _input(name: str) -> Tensor:
    if name not in _SHAPES:
        raise UserError(
            f"a head cannot take the target {name!r}",
            rule="target_inputs names targets of the task: " + ", ".join(_SHAPES),
            fix=nearest(name, _SHAPES),
        )
    shape, dtype = _SHAPES[name]
    return keras.Input(shape, dtype=dtype, name=f"{PREFIX}{name}", optional=True)


class WithTargets(keras.Model):  # noqa: VG101  a base class
    """Base class of models with optional inputs for targets.

    They are called with the other inputs alone, or with a dict that contains targets as well.
    Keras's functional models require every input of a dict, None for a missing one.
    """

    _target_names: tuple[str, ...] = ()

    def take_targets(self, names: tuple[str, ...]) -> None:
        """Make the inputs of targets optional.

        Args:
            names: names of the targets.
        """
        self._target_names = names
        if names:
            self.input_spec = None  # it would require every input
            # Under a half-precision policy, Keras would round the coordinates of boxes: bfloat16
            # has 8 bits. Layers cast their own inputs.
            self.autocast = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the outputs; missing targets are None."""
        if self._target_names:
            inputs = self.with_all_targets(inputs)
        return super().call(inputs, training=training, mask=mask)

    def with_all_targets(self, inputs: Any) -> dict[str, Any]:
        """Return a dict of all inputs, in which missing targets are None."""
        given = dict(inputs) if isinstance(inputs, Mapping) else {"images": inputs}
        names = [f"{PREFIX}{name}" for name in self._target_names]
        return {n: v for n, v in given.items() if n not in names} | {n: given.get(n) for n in names}

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Return the outputs for symbolic inputs."""
        if not self._target_names:
            return super().compute_output_spec(inputs, training=training, mask=mask)
        # That of a functional model reads the shape of every input, also of None.
        return keras.Operation.compute_output_spec(self, inputs, training=training)


def with_features(
    features: Mapping[str, Any], targets: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """Return what the model of a head alone takes: feature maps, and the targets among its inputs.

    Args:
        features: level -> feature map.
        targets: targets of the loss, by name.
        names: names of the targets that the head takes.
    """
    return {**features, **{f"{PREFIX}{name}": targets[name] for name in names}}


def with_targets(images: Any, targets: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return what a model takes in a training step: images, and targets if its head takes them.

    Args:
        images: batch of images.
        targets: targets of the loss, by name.
        names: names of the targets that the head takes.

    Raises:
        UserError: a target is missing.
    """
    if not names:
        return images
    missing = [name for name in names if name not in targets]
    if missing:
        raise UserError(
            f"the targets have no {missing[0]!r}, which the head takes as an input",
            rule="the targets " + ", ".join(names),
            received=", ".join(map(str, targets)) or "no targets",
        )
    return {"images": images} | {f"{PREFIX}{name}": targets[name] for name in names}
