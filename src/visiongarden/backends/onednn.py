"""`use_onednn`: oneDNN for TensorFlow on every x86-64 processor.

**Why.** TensorFlow contains oneDNN, but chooses it by itself only on processors with AVX-512 VNNI
and later ones. On others, convolutions and their gradients run on Eigen. **Gain:** a training step
on a processor with AVX2 takes 0.4 of the time (benchmarks/RESULTS.md, Speed). Results are the same
up to rounding. **Switch:** `onednn`, or `TF_ENABLE_ONEDNN_OPTS`, the variable of TensorFlow, which
is left as it is if it has a value.
"""

from __future__ import annotations

import os
import platform
import sys

from visiongarden.backends.switches import is_named

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def use_onednn() -> None:
    """Let TensorFlow use oneDNN; does nothing if TensorFlow is imported already."""
    # TensorFlow reads the variable once, when it is imported.
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    if is_x86 and "tensorflow" not in sys.modules and not is_named("onednn"):
        os.environ.setdefault(VARIABLE, "1")
