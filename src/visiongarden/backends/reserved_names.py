"""Attribute names that Keras and its backends use in every layer.

**Why.** A custom class that assigns to `self._layers` or `self._lock` replaces a value of Keras,
and Keras reports nothing. `lint` reads code without importing Keras, so it cannot ask a layer for
its attributes. **Gain:** correctness: such a layer is refused or reported. **Switch:** none; a name
that a version of Keras does not use is harmless here, and one that it adds is found by `check`.
"""

from __future__ import annotations

PRIVATE = frozenset(
    {
        "_auto_config", "_call_signature", "_called", "_dtype_policy", "_inbound_nodes",
        "_layers", "_lock", "_loss_ids", "_losses", "_losses_override", "_metrics",
        "_non_trainable_variables", "_outbound_nodes", "_parent_path", "_path",
        "_seed_generators", "_tracker", "_trainable", "_trainable_variables",
    }
)  # fmt: skip
"""Private attributes of every layer of Keras."""

OF_OTHER_BACKENDS = frozenset(
    {
        "_backward_hooks", "_backward_pre_hooks", "_buffers", "_forward_hooks",
        "_forward_pre_hooks", "_modules", "_non_persistent_buffers_set", "_parameters",
        "_self_setattr_tracking", "_self_unconditional_dependency_names", "_state_dict_hooks",
        "_tf_trackable_method_wrappers", "_torch_params", "_tracked", "training",
    }
)  # fmt: skip
"""Attributes that PyTorch and TensorFlow add; reserved on every backend, so that a layer written on
one backend works on the others."""

TRACKING = ("_self_", "_torch_params", "_unconditional_")
"""Prefixes of attributes that TensorFlow and PyTorch add to a layer for tracking."""
