"""Fast paths by name, and the environment variable that switches them off.

A fast path computes what Keras or the backend computes without it, in less time or memory.
`VISIONGARDEN_DISABLE=captured_steps,xla` switches paths off by name, `all` every one of them; this
separates an error of a fast path from one of the model. A path that uses private names is also off
if a library has an untested version; see `versions`.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from visiongarden.backends import versions
from visiongarden.errors import UserError, nearest

VARIABLE = "VISIONGARDEN_DISABLE"
"""Environment variable that lists the fast paths to switch off; read once in a process."""

ALL = "all"


@dataclass(frozen=True)
class FastPath:
    """One fast path.

    Attributes:
        module: File of this package that documents it: why it exists and how it works.
        gain: What it saves, with its source in `benchmarks/RESULTS.md` if it is listed there.
        ordinary: What runs in its place.
        libraries: Libraries whose private names it uses; off if one of them is not tested.
    """

    module: str
    gain: str
    ordinary: str
    libraries: tuple[str, ...] = ()


FAST_PATHS = {
    "keras_hook": FastPath(
        "keras_stubs",
        "all backends: 3 to 10 s and 300 to 780 MB of each process that imports visiongarden",
        "files that open after `import keras, visiongarden` or `import visiongarden.models`",
    ),
    "optional_imports": FastPath(
        "optional_imports",
        "all backends: 2 of 12 to 16 s of each command, if scikit-learn, pandas, matplotlib and "
        "IPython are installed (Start-up)",
        "an import of Keras with all libraries that it finds",
    ),
    "onednn": FastPath(
        "onednn",
        "TensorFlow: a training step in 0.4 of the time on processors without AVX-512 (Speed)",
        "Eigen on processors for which TensorFlow does not choose oneDNN by itself",
    ),
    "captured_steps": FastPath(
        "torch_step",
        "PyTorch: 61 → 26 ms of Python in a training step; on an H200 3.25 times the speed of a "
        "plain PyTorch module (Speed)",
        "the training step of Keras",
        ("keras", "torch"),
    ),
    "reused_memory": FastPath(
        "reuse",
        "PyTorch: half of the new memory pages of a captured training step (Speed)",
        "a new tensor for each result",
        ("torch",),
    ),
    "jax_steps": FastPath(
        "jax_step",
        "JAX: a third of the peak memory, and with `xla` and `convolutions` training from 0.56 to "
        "0.75 of the speed of a plain PyTorch module (Speed)",
        "steps that Keras compiles",
    ),
    "xla": FastPath(
        "xla",
        "JAX on a CPU: convolutions in 0.5 to 0.9 of the time",
        "the default options of the compiler",
        ("jax",),
    ),
    "large_pages": FastPath(
        "large_pages",
        "JAX and PyTorch on a CPU and Linux: `visiongarden train` in 0.8 to 0.9 of the time of a "
        "step (Speed)",
        "pages of 4 KiB",
    ),
    "memory": FastPath(
        "memory",
        "a quarter of the peak memory on PyTorch, a third on JAX",
        "freed memory that the C library keeps",
    ),
    "garbage": FastPath(
        "garbage",
        "all backends: a fifth to a quarter of the time to import them",
        "a garbage collector that runs during imports",
    ),
    "captured_inference": FastPath(
        "forward",
        "PyTorch: inference ×1.25, with `kernel_layout` and `resampling` (Speed)",
        "layers that are called one by one",
        ("torch",),
    ),
    "kernel_layout": FastPath(
        "convolution",
        "PyTorch: a fourteenth of the time of inference",
        "kernels that each call reorders",
        ("keras",),
    ),
    "convolutions": FastPath(
        "convolution",
        "TensorFlow: training step ×1.20; PyTorch: a third of the time of inference; JAX, with "
        "`xla`: inference from 0.67 to 0.94 of the speed of a plain PyTorch module (Speed)",
        "padding and `keras.ops.conv`",
    ),
    "fused_norms": FastPath(
        "batch_norm",
        "TensorFlow and PyTorch on a CPU: a 1×1 convolution with norm and SiLU, forward and "
        "backward, ×1.18 and ×3.0 (Speed)",
        "the batch normalization of Keras",
    ),
    "silu_gradient": FastPath(
        "activations", "TensorFlow: training step ×1.06 on a CPU (Speed)", "the SiLU of Keras"
    ),
    "norm_silu": FastPath(
        "batch_norm",
        "TensorFlow: a training step with a third fewer operations, and 70 to 90 MiB less memory "
        "(Memory)",
        "a feature map more that is kept for each convolution",
    ),
    "in_place": FastPath(
        "activations",
        "PyTorch: inference of a 1×1 convolution with norm and SiLU ×1.07 on a CPU, without the "
        "memory of a second feature map (Speed)",
        "activations that keep their input",
    ),
    "resampling": FastPath(
        "resampling",
        "PyTorch: inference ×1.25, with `captured_inference` and `kernel_layout`; JAX on a CPU: "
        "max pooling and its gradient in a twentieth to a sixth of the time (Speed)",
        "the pooling and upsampling of Keras, on PyTorch with copies of feature maps",
    ),
    "tf_dataset": FastPath(
        "tf_dataset",
        "TensorFlow: epochs without stalls of up to 5 s at their end (Speed)",
        "the dataset of Keras, with autotuning",
    ),
    "prefetch": FastPath(
        "prefetch",
        "PyTorch and JAX on a GPU: the time to make and copy a batch",
        "batches that are made between the steps",
    ),
    "weightless": FastPath(
        "weightless",
        "all backends: shapes and parameters without memory for weights; TensorFlow: a model of 44 "
        "million weights in 1.1 s instead of 4.0 (Speed); JAX: not one compilation per shape",
        "models that are built with initial values, also to read their shapes",
        ("keras",),
    ),
    "initial_values": FastPath(
        "initial_values",
        "JAX: a detector is built with 8 compilations instead of 37 (Start-up)",
        "one compilation for the random values of each shape",
        ("keras", "jax"),
    ),
    "compilation_cache": FastPath(
        "compilation_cache",
        "JAX: from the second run on, the first training step after a sixth of the time (Start-up)",
        "one compilation in each process",
    ),
    "seeds": FastPath(
        "random_state",
        "PyTorch and JAX: 3 s and 400 MiB at the start of a run, if TensorFlow is installed",
        "`keras.utils.set_random_seed`",
        ("keras",),
    ),
}
"""All fast paths, by the names that `VISIONGARDEN_DISABLE` takes."""


@functools.cache
def is_on(name: str) -> bool:
    """Return whether a fast path is to be used.

    Args:
        name: A key of `FAST_PATHS`.

    Raises:
        UserError: `VISIONGARDEN_DISABLE` lists a name that is not a fast path.
    """
    path = FAST_PATHS[name]
    if {name, ALL} & _disabled():
        return False
    if all(map(versions.is_tested, path.libraries)):
        return True
    versions.warn_of_untested()
    return False


def is_named(name: str) -> bool:
    """Return whether `VISIONGARDEN_DISABLE` lists a name, without checking the other names."""
    return bool({name, ALL} & _listed())


def _disabled() -> frozenset[str]:
    listed = _listed()
    for name in sorted(listed - FAST_PATHS.keys() - {ALL}):
        raise UserError(
            f"{VARIABLE} lists {name!r}, which is not a fast path",
            rule=f"{ALL}, or names of {', '.join(FAST_PATHS)}",
            received=os.environ.get(VARIABLE, ""),
            fix=nearest(name, (*FAST_PATHS, ALL)),
        )
    return listed


def _listed() -> frozenset[str]:
    text = os.environ.get(VARIABLE, "")
    return frozenset(name.strip() for name in text.split(",") if name.strip())
