"""`use_onednn`: oneDNN for TensorFlow on every x86-64 processor.

**Why.** TensorFlow contains oneDNN, but chooses it by itself only on processors with AVX-512 VNNI
and later ones. On others, convolutions and their gradients run on Eigen. **Gain:** a training step
on a processor with AVX2 takes 0.4 of the time (benchmarks/RESULTS.md, Speed). Results are the same
up to rounding. **Switch:** `onednn`, or `TF_ENABLE_ONEDNN_OPTS`, the variable of TensorFlow, which
is left as it is if it has a value.

TensorFlow reads the variable on import, so a script that imports Keras first computes without
oneDNN. `warn_without_onednn` reports this when the script trains or predicts.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from visiongarden.backends.processor import processor_flags
from visiongarden.backends.switches import is_named

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"

_CHOSEN_BY_TENSORFLOW = {
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
}
"""Flags of the processors on which TensorFlow uses oneDNN without the variable."""

_NOTES = (b"before absl::InitializeLog() is called", b"oneDNN custom operations are on")


def use_onednn() -> None:
    """Let TensorFlow use oneDNN.

    Does nothing if TensorFlow is imported already, or if `KERAS_BACKEND` names another backend.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        return  # with the variable set, JAX prints messages about oneDNN
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    if is_x86 and "tensorflow" not in sys.modules and not is_named("onednn"):
        os.environ.setdefault(VARIABLE, "1")


@functools.cache
def warn_without_onednn() -> None:
    """Warn, once in a process, that TensorFlow computes on the CPU without oneDNN.

    There is no warning if the variable of TensorFlow or the switch states that this is meant.
    """
    import keras

    from visiongarden.backends.training_state import is_on_accelerator

    # The variable is only unset if TensorFlow was there before `use_onednn`.
    is_set = VARIABLE in os.environ or is_named("onednn")
    flags = processor_flags()
    if (
        is_set
        or keras.backend.backend() != "tensorflow"
        or "avx2" not in flags
        or flags & _CHOSEN_BY_TENSORFLOW
        or is_on_accelerator()
    ):
        return
    warnings.warn(
        "TensorFlow was imported before visiongarden and computes without oneDNN, which about "
        "doubles the time of a training step. Import visiongarden before keras and tensorflow, or "
        f"set {VARIABLE}=1 (to keep this: {VARIABLE}=0)",
        stacklevel=3,
    )


@contextmanager
def without_notes() -> Iterator[None]:
    """Drop the notes on oneDNN that TensorFlow prints while it is imported.

    TensorFlow 2.21 prints them whatever `TF_CPP_MIN_LOG_LEVEL` is, so they are dropped if it is 1
    or more, as it is for commands. All else that is written to stderr appears once the import ends.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")
    # On a processor that TensorFlow does not support, the process ends with a message.
    if level == "0" or "tensorflow" in sys.modules or "avx2" not in processor_flags():
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            kept_lines = [line for line in file if not any(note in line for note in _NOTES)]
            with open(2, "wb", closefd=False) as stderr:
                stderr.writelines(kept_lines)
