"""Guesses of constructor arguments and inputs for a class that is checked without them.

A class can state both in the attribute `examples = {"config": {...}, "inputs": (2, 16, 24, 8)}`.
Otherwise, arguments are guessed from their names and annotations, and inputs by trying a few
shapes.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

import keras

from visiongarden.backbones import CSPDarknet
from visiongarden.decoders import FPN
from visiongarden.errors import UserError
from visiongarden.heads import AnchorFree
from visiongarden.parts import Backbone, Decoder, Head, Part
from visiongarden.testing.examples import examples_of
from visiongarden.types import ClassMap

CHANNELS = 8
SIDES = (16, 24)
"""(height, width) of feature maps; not square, so that swapped sides are detected."""

# Values by the full name of an argument or its last word ("out_channels"), in order of precedence.
_BY_NAME: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("filters", "channels", "units", "features", "dim", "width", "hidden", "size_out"), CHANNELS),
    (("outputs",), 6),
    (("kernel_size", "kernel", "window", "pool_size"), 3),
    (("stride", "strides", "dilation", "dilation_rate", "groups"), 1),
    (
        (
            "repeats",
            "depth",
            "layers",
            "blocks",
            "heads",
            "reduction",
            "ratio",
            "scale",
            "anchors",
            "n",
        ),
        2,
    ),
    (("classes",), 3),
    (("rate", "dropout", "drop", "p", "probability"), 0.1),
    (("epsilon", "eps"), 1e-3),
    (("momentum", "decay"), 0.9),
    (("activation", "act"), "relu"),
    (("padding",), "same"),
)
# Used for required arguments whose names are unknown.
_BY_TYPE = {int: 2, float: 0.5, str: "relu", bool: True, tuple: (1, 2), list: [1, 2]}
_TUPLES = {str: ("first", "second"), float: (0.5, 2.0)}
"""Values of required tuples of any length, by the type of their elements."""
_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def constructor_arguments(cls: type, given: dict[str, Any]) -> dict[str, Any]:
    """Complete constructor arguments with a guess for each missing required argument.

    Args:
        cls: Class whose constructor is called.
        given: Arguments from the user. They override those in `examples` of the class.

    Returns:
        Arguments by name.

    Raises:
        UserError: If the constructor does not accept an argument in `given`, or if a required
            argument cannot be guessed from its name and annotation.
    """
    parameters = dict(list(inspect.signature(cls).parameters.items()))
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = sorted(set(given) - set(parameters))
    if unknown and not takes_any:
        raise UserError(
            f"{cls.__name__} has no argument {unknown[0]!r}",
            rule=f"one of the constructor arguments: {', '.join(parameters) or 'none'}",
            fix="omit it",
        )
    arguments = dict(examples_of(cls).get("config", {})) | given
    hints = _hints(cls)
    for name, parameter in parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        if needed and name not in arguments and parameter.kind not in _VARIADIC:
            arguments[name] = _argument(cls, name, hints.get(name))
    return arguments


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls if issubclass(cls, Part) else cls.__init__)
    except (NameError, TypeError, AttributeError):
        return {}


def _argument(cls: type, name: str, hint: Any) -> Any:
    """Guess a required argument from its annotation, then its name, then its plain type."""
    for kind, value in (
        (Backbone, CSPDarknet(depth=0.33, width=0.125)),
        (Decoder, FPN(channels=CHANNELS)),
        (Head, AnchorFree(num_classes=3, bins=2)),
        (ClassMap, ClassMap(("first", "second", "third"))),
    ):
        if hint is kind:
            return value
    words = name.lower().split("_")
    is_layer_name = words[-1] in ("layer", "inner", "body", "block", "branch", "conv")
    if hint is keras.Layer or (is_layer_name and hint in (None, Any)):
        return keras.layers.Conv2D(CHANNELS, 3, padding="same")
    kind = typing.get_origin(hint) or hint
    for names, value in _BY_NAME:
        fits = kind in (None, typing.Any) or isinstance(value, kind if _is_type(kind) else object)
        if fits and (name.lower() in names or words[-1] in names):
            return value
    elements = typing.get_args(hint)
    if kind is tuple and elements and elements[0] in _TUPLES:
        return _TUPLES[elements[0]]
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    raise UserError(
        f"the argument {name!r} of {cls.__name__} cannot be guessed",
        rule="a value, or a name with a known meaning such as filters or kernel_size",
        fix=f'check({cls.__name__}, {name}=...), or in the class: examples = {{"config": '
        f'{{"{name}": ...}}}}',
    )


def _is_type(kind: Any) -> bool:
    return isinstance(kind, type)


def candidate_shapes(cls: type) -> list[Any]:
    """List shapes to try as inputs of a layer, most likely first.

    Args:
        cls: Layer class; `examples["inputs"]` of the class is returned alone if it exists.

    Returns:
        Shapes with the batch first. A list or dict of shapes is one nested argument of `call`; a
        tuple of shapes is several arguments.
    """
    if own := examples_of(cls).get("inputs"):
        return [own]
    maps = (2, *SIDES, CHANNELS)
    levels = {f"p{n}": (2, 64 >> n, 96 >> n, CHANNELS * (n - 2)) for n in (3, 4, 5)}
    one: list[Any] = [
        maps,
        [maps, maps],
        [maps, maps, maps],
        (2, *SIDES, 4 * CHANNELS),
        (2, *SIDES, 3),
        (2, 12, CHANNELS),
        (2, CHANNELS),
        levels,
        [maps, (2, CHANNELS)],
    ]
    count = tensor_arguments(cls)
    return one if count < 2 else [(shape,) * count for shape in (maps, (2, 12, CHANNELS))]


def tensor_arguments(cls: type[Any]) -> int:
    """Count the arguments of `call` that take tensors: those without a default value."""
    if not issubclass(cls, keras.Layer):  # a part, which has no `call`
        return 1
    parameters = list(inspect.signature(cls.call).parameters.values())[1:]
    return sum(
        p.default is inspect.Parameter.empty
        and p.kind not in _VARIADIC
        and p.name not in ("training", "mask")
        for p in parameters
    )
