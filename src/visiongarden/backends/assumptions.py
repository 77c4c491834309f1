"""Private names of Keras and the backends that this package uses, and what is assumed about each.

Only files of this package use such names. Each assumption is checked by behavior, not by the mere
existence of a name: `tests/backends/test_assumptions.py` checks all of them on the installed
versions, and fails on a private name that is missing here. A new version is listed in
`versions.TESTED` once they hold.

- An assumption of a fast path is not relied on under an untested version: the ordinary path runs.
- Where Keras has no public counterpart, `require` checks the assumption under an untested version
  when it is first needed. If it does not hold, an error is raised, in place of a wrong result.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

from visiongarden.backends import assumption_checks as checks
from visiongarden.backends import versions
from visiongarden.errors import UserError


@dataclass(frozen=True)
class Assumption:
    """What is assumed about private names that belong together.

    Attributes:
        library: "keras", or a backend.
        names: The private names.
        states: What is assumed about them.
        without: What happens if it does not hold, or if the version is not tested.
        holds: Returns whether it holds, by using the names; may raise any error if not.
    """

    library: str
    names: tuple[str, ...]
    states: str
    without: str
    holds: Callable[[], bool]


ASSUMPTIONS = {
    "graph": Assumption(
        "keras",
        ("_keras_history", "_inbound_nodes", "_outbound_nodes"),
        "a symbolic tensor names the operation that output it, and the index of the call among "
        "those of the operation; the node of a call has its arguments, inputs and outputs",
        "show, diff, repeats, the conversion to Darknet and the class rows of transfer raise an "
        "error; models are trained, saved and opened as before",
        checks.graph,
    ),
    "sublayers": Assumption(
        "keras",
        ("_layers", "_trainable_variables"),
        "the sublayers of a layer, in the order of their creation, and the weights that it created "
        "as trainable, also if it is frozen",
        "sublayers are found in the attributes of a layer; one that no attribute holds is not "
        "reported as missing in a saved file",
        checks.sublayers,
    ),
    "name_counters": Assumption(
        "keras",
        ("keras.src.backend.common.global_state", "object_name_uids"),
        "automatic names are numbered by a dict in the global state, from 0 if it is empty",
        "parts cannot be built: the paths of weights would depend on layers created before",
        checks.name_counters,
    ),
    "weightless": Assumption(
        "keras",
        (
            "keras.src.backend.common.global_state",
            "uninitialized_variables",
            "_initializer",
            "_deferred_initialize",
            "_track_variables",
        ),
        "variables created in a `StatelessScope(initialize_variables=False)` are listed in the "
        "global state and have no value until they are initialized",
        "models are built with initial values before their weights are read or counted",
        checks.weightless,
    ),
    "raw_value": Assumption(
        "keras",
        ("_value",),
        "the value of a variable in its own dtype, and None before it is initialized",
        "kernels keep their layout on PyTorch, and `check` does not look for variables that a "
        "layer creates outside of its attributes",
        checks.raw_value,
    ),
    "autocast": Assumption(
        "keras",
        ("keras.src.backend.common.variables",),
        "`AutocastScope(None)` ends the casting of variables to the compute dtype",
        "training at several image sizes in mixed precision raises an error",
        checks.autocast,
    ),
    "float64": Assumption(
        "keras",
        ("keras.src.backend.common.dtypes",),
        "`BIT64_TO_BIT32_DTYPE` is the table by which results of float64 become float32",
        "training cannot be compared in float64",
        checks.float64,
    ),
    "seeds": Assumption(
        "keras",
        (
            "keras.src.backend.common.global_state",
            "keras.src.random.seed_generator",
            "keras.src.utils.rng_utils",
        ),
        "the global seed generator is created when it is used next, from the seeded generator of "
        "Python",
        "TensorFlow is imported to seed a run, if it is installed",
        checks.seeds,
    ),
    "global_seed": Assumption(
        "keras",
        ("keras.src.random", "keras.src.backend.random"),
        "random operations without a seed use the state of one global generator, and all random "
        "operations of a backend ask `draw_seed` for their seed",
        "`check` reports an error in place of its check of random numbers",
        checks.global_seed,
    ),
    "recorded_arguments": Assumption(
        "keras",
        ("_auto_config",),
        "the constructor arguments of a layer, where they are plain data",
        "`check` rebuilds custom layers from their configs",
        checks.recorded_arguments,
    ),
    "backend_classes": Assumption(
        "keras",
        ("keras.src.backend.",),
        "on PyTorch an optimizer belongs to a class that Keras derives from the public one in a "
        "module of this name",
        "an optimizer passed as an object cannot be written to a recipe",
        checks.backend_classes,
    ),
    "capture": Assumption(
        "torch",
        (
            "torch._guards",
            "torch._subclasses.fake_tensor",
            "torch.fx.experimental.proxy_tensor",
            "torch.utils._python_dispatch",
            "_ops",
            "_schema",
            "_to_copy",
            "_local_scalar_dense",
        ),
        "`make_fx` captures the operations of a function as a graph, and a dispatch mode sees "
        "those that read a tensor's value",
        "steps and forward passes run layer by layer",
        checks.capture,
    ),
    "functional_collectives": Assumption(
        "torch",
        (
            "torch.distributed._functional_collectives",
            "_C",
            "_dispatch_has_kernel_for_dispatch_key",
        ),
        "`all_reduce` and `wait_tensor` are operations of a graph, with a gradient",
        "training in several processes raises an error",
        checks.functional_collectives,
    ),
    "jax_client": Assumption(
        "jax",
        ("jax._src.distributed", "jax._src.lib._jax"),
        "the client of the coordination service stores and returns bytes by key",
        "training in several processes raises an error",
        checks.jax_client,
    ),
    "tensorflow_store": Assumption(
        "tensorflow",
        ("tensorflow.python.eager.context",),
        "the context stores and returns text by key, in the coordination service",
        "training in several processes raises an error",
        checks.tensorflow_store,
    ),
    "gradient_sums": Assumption(
        "keras",
        ("_all_reduce_sum_gradients",),
        "on TensorFlow an optimizer adds the gradients of the replicas by it, and nothing else",
        "training on several devices with an optimizer of Keras raises an error",
        checks.gradient_sums,
    ),
    "symbolic_build": Assumption(
        "keras",
        ("_maybe_symbolic_build",),
        "`fit` on TensorFlow calls it before the first batch, and nothing else",
        "training on several devices raises an error",
        checks.symbolic_build,
    ),
}
"""All assumptions, by name."""


@functools.cache
def require(name: str) -> None:
    """Check an assumption without which a feature cannot work, if the version is untested.

    Raises:
        UserError: The assumption does not hold.
    """
    assumption = ASSUMPTIONS[name]
    if versions.is_tested(assumption.library) or holds(name):
        return
    library = assumption.library
    raise UserError(
        f"{versions.names([library])} works in another way than visiongarden assumes: "
        f"{assumption.without}",
        rule=assumption.states,
        received=", ".join(assumption.names),
        fix=versions.requirements([library]),
    )


def holds(name: str) -> bool:
    """Return whether an assumption holds with the installed version."""
    # Layers take the seeds of their initial weights from Python's generator; a check in the middle
    # of building a model must not change its weights.
    state = random.getstate()
    try:
        return ASSUMPTIONS[name].holds()
    except Exception:  # What a missing private name raises differs by the version.
        return False
    finally:
        random.setstate(state)
