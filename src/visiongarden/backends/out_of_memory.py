"""`out_of_memory`: recognize that a backend, or Python, could not allocate memory.

**Why.** Each backend reports it in its own way, and most with a general class of error. **Gain:**
none in speed; the error names the batch size instead of an operation. **Switch:** none; classes are
recognized by name and message, so that no backend is imported.
"""

from __future__ import annotations

import re

_CLASSES = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError", "_ArrayMemoryError"}
"""TensorFlow, PyTorch on a GPU, Python, and NumPy."""
_WITH_MESSAGE = {
    "RuntimeError", "JaxRuntimeError", "XlaRuntimeError", "InternalError", "UnknownError",
    "AcceleratorError",
}  # fmt: skip
_MESSAGE = re.compile(
    r"out of memory|OOM when allocating|RESOURCE_EXHAUSTED|can't allocate memory"
    r"|failed to allocate|_STATUS_ALLOC_FAILED|bad_alloc",
    re.IGNORECASE,
)
_MAX_CAUSES = 10


def out_of_memory(error: BaseException) -> str | None:
    """Return the first line of the message if an error means that memory is short, or None.

    Args:
        error: The error, which may be caused by the one of the backend.
    """
    found: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if found is None:
            return None
        name, text = type(found).__name__, str(found)
        if name in _CLASSES or (name in _WITH_MESSAGE and _MESSAGE.search(text)):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            shown = next((line for line in lines if _MESSAGE.search(line)), "".join(lines[:1]))
            return f"{name}: {shown}"[:300]
        found = found.__cause__ or found.__context__
    return None
