"""One-line descriptions of exceptions, with the line of the user's file and advice.

Keras wraps the exceptions of layers in long messages with repeated configuration, and TensorFlow
prefixes them with graph node names. The patterns below strip both.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from visiongarden.errors import UserError

_OWN = Path(__file__).parents[1]
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python")
_FRAMEWORKS = {
    "absl", "jax", "jaxlib", "keras", "numpy", "optree", "pydantic", "tensorflow", "torch",
    "visiongarden", "ml_dtypes", "onnxruntime", "tf2onnx",
}  # fmt: skip
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_INNER = re.compile(r"Exception encountered: (.+)", re.DOTALL)
_WRAPPED = re.compile(r"^(\{\{function_node [^}]*\}\}|Graph execution error:)\s*")
_IGNORED_LINES = (  # lines that Keras adds around the message of the original exception
    "Arguments received by",
    "Layer.call() argument",
    "Possible causes",
    "Exception encountered when calling",
    "Could not automatically infer",
    "Error encountered",
)

_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("has no setter",),
        "Keras has a read-only property of that name; choose another name for the attribute",
    ),
    (
        ("as a Python bool", "as a Python `bool`", "used as a boolean", "TracerBool"),
        "call() uses the value of a tensor in Python; use keras.ops.where or keras.ops.cond",
    ),
    (
        ("Tracer", "NumPy", "numpy", "symbolic tf.Tensor", "symbolic `tf.Tensor`"),
        "call() converts a tensor to NumPy or to a Python number; use keras.ops throughout",
    ),
    (
        ("add new elements of state", "creating variables", "tf.Variable"),
        "create sublayers and variables in __init__ or build(), never in call()",
    ),
    (
        ("Iterating over a symbolic",),
        "call() iterates over a tensor in Python; use keras.ops, or iterate over a static shape",
    ),
    (
        ("Lambda", "lambda"),
        "a lambda cannot be saved; write a registered layer or function",
    ),
    (
        ("unexpected keyword argument", "Unrecognized keyword"),
        "accept **kwargs in __init__ and pass them on: super().__init__(**kwargs)",
    ),
    (
        ("must override `get_config",),
        "the automatic config cannot contain such an argument; write get_config()",
    ),
)


def first_line(error: BaseException, max_length: int = 400) -> str:
    """Return the type of an exception and the most informative line of its message.

    Text that Keras adds around the message of an inner exception, such as the arguments of the call
    and general causes, is dropped, and so are terminal colors.

    Args:
        error: Any exception.
        max_length: Maximum number of characters of the message.
    """
    error = _original(error)
    if isinstance(error, UserError):
        return f"{type(error).__name__}: {_sentence(error):.{max_length}}"
    text = _COLOR.sub("", str(error))
    inner = _INNER.search(text)
    if inner is not None:
        text = inner.group(1).strip()
        if text[:1] in ("'", '"') and text[-1] == text[0]:
            text = text[1:-1]
    lines = [_WRAPPED.sub("", line).strip() for line in text.splitlines()]
    informative = [line for line in lines if line and not line.startswith(_IGNORED_LINES)]
    return f"{type(error).__name__}: {(informative or [''])[0]:.{max_length}}"


def _sentence(error: UserError) -> str:
    details = [
        f"{word} {' '.join(text.split())}"
        for word, text in (("expected", error.rule), ("got", error.received))
        if text
    ]
    what = " ".join(error.what.split())
    return f"{what} ({'; '.join(details)})" if details else what


def _original(error: BaseException) -> BaseException:
    """Return the exception behind Keras's failed attempt to re-raise it.

    Keras re-raises an exception with a longer message by calling its type with a string. JAX's
    tracer errors take a tracer instead and fail on the string's missing `_error_repr`.
    """
    if "_error_repr" in str(error) and error.__context__ is not None:
        return error.__context__
    return error


def where(error: BaseException) -> str:
    """Format the last line of the user's code in a traceback as " (file.py:12)".

    If the traceback contains no file of the user, the last line in an installed package that is not
    a framework is used; without one, the result is empty.

    Args:
        error: Exception with a traceback.
    """
    frames = traceback.extract_tb(_original(error).__traceback__)
    for is_relevant in (is_user_file, _is_in_other_package):
        for frame in reversed(frames):
            if is_relevant(frame.filename):
                return f" ({Path(frame.filename).name}:{frame.lineno})"
    return ""


def is_user_file(filename: str) -> bool:
    """Return whether a source file belongs to the user, not to a library or visiongarden."""
    if filename.startswith("<") or _OWN in Path(filename).parents:
        return False
    return not any(mark in filename for mark in _LIBRARIES)


def _is_in_other_package(filename: str) -> bool:
    parts = Path(filename).parts
    home = next((i for i, part in enumerate(parts) if part in _LIBRARIES[:2]), None)
    if home is None or home + 1 >= len(parts):
        return False
    return parts[home + 1] not in _FRAMEWORKS


def describe(error: BaseException) -> str:
    """Describe an exception in one line with the line of the user's code that raised it."""
    return first_line(error) + where(error)


def advice_for(error: BaseException, otherwise: str) -> str:
    """Return advice on how to fix an exception, selected by words in its message.

    Args:
        error: Any exception; the `fix` of a `UserError` is returned as it is.
        otherwise: Advice to return if the message is not recognized.
    """
    error = _original(error)
    if isinstance(error, UserError) and error.fix:
        return error.fix
    text = f"{type(error).__name__}: {error}"
    for words, advice in _ADVICE:
        if any(word in text for word in words):
            return advice
    return otherwise
