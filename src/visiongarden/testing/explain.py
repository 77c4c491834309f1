"""Errors of a layer under test in one line, with the line of the person's own file."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from visiongarden.errors import UserError

_OWN = Path(__file__).parents[1]
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = (
    "Exception encountered when calling",
    "Could not automatically infer",
    "Error encountered",
)

_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("as a Python bool", "as a Python `bool`", "used as a boolean", "TracerBool"),
        "call() decides in Python on a tensor's value; use keras.ops.where or keras.ops.cond",
    ),
    (
        ("Tracer", "NumPy", "numpy", "symbolic tf.Tensor", "symbolic `tf.Tensor`"),
        "call() leaves the graph, through NumPy or a Python number; use keras.ops throughout",
    ),
    (
        ("add new elements of state", "creating variables", "tf.Variable"),
        "make sublayers and variables in __init__ or build(), never in call()",
    ),
    (
        ("Iterating over a symbolic",),
        "call() loops over a tensor in Python; use keras.ops, or loop over a static shape",
    ),
    (
        ("Lambda", "lambda"),
        "a lambda cannot be written into a file; write a registered layer or function",
    ),
    (
        ("unexpected keyword argument", "Unrecognized keyword"),
        "take **kwargs in __init__ and pass them on: super().__init__(**kwargs)",
    ),
    (("must override `get_config",), "the config cannot hold such an argument; write get_config()"),
)


def first_line(error: BaseException, most: int = 240) -> str:
    """Kind of an error and the line of its text that says most, without colours."""
    error = _original(error)
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    return f"{type(error).__name__}: {(telling or [''])[0]:.{most}}"


def _original(error: BaseException) -> BaseException:
    """What was raised before Keras tried to make an error of JAX's anew, and failed at it."""
    if "_error_repr" in str(error) and error.__context__ is not None:
        return error.__context__
    return error


def where(error: BaseException) -> str:
    """` (file.py:12)` of the last frame in the person's own code, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_of_person(frame.filename):
            return f" ({Path(frame.filename).name}:{frame.lineno})"
    return ""


def is_of_person(filename: str) -> bool:
    """Whether a source file is neither a library's nor this room's."""
    if filename.startswith("<") or _OWN in Path(filename).parents:
        return False
    return not any(mark in filename for mark in _LIBRARIES)


def told(error: BaseException) -> str:
    """`first_line` and `where`."""
    return first_line(error) + where(error)


def advice_for(error: BaseException, otherwise: str) -> str:
    """What to change, by words of the error."""
    error = _original(error)
    if isinstance(error, UserError) and error.fix:
        return error.fix
    text = f"{type(error).__name__}: {error}"
    for words, advice in _ADVICE:
        if any(word in text for word in words):
            return advice
    return otherwise
