"""`with_precision`: a model with the same weights that computes with another dtype policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden.backends.half_precision import why_slower
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import UserError, nearest, option
from visiongarden.models.argument import as_model
from visiongarden.models.kinds import WithSignature
from visiongarden.progress import LOGGER

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
"""Dtype policies of Keras that keep weights in float32."""


def model_in_precision(model: Any, precision: str | None) -> Any:
    """Return a model, loaded if the argument is a path, that computes with a dtype policy.

    Args:
        model: As in `as_model`.
        precision: As in `with_precision`; None: float32 for a path, and the policy of the model
            otherwise.

    Raises:
        ModelFileError: The file does not exist or is not a model file.
        UserError: As in `as_model` and `with_precision`.
    """
    if precision is not None and precision not in POLICIES:
        raise UserError(
            f"{option('precision', precision)} is not valid", rule=f"one of {', '.join(POLICIES)}",
            fix=nearest(str(precision), POLICIES),
        )  # fmt: skip
    opened = as_model(model)
    if precision is None and not isinstance(model, str | Path):
        return opened
    opened = with_precision(opened, precision or "float32")
    if precision is not None:
        warn_if_slow(precision, option("precision"))
    return opened


def warn_if_slow(policy: str, field: str) -> None:
    """Log a warning if this machine computes slower with a dtype policy than in float32.

    Args:
        policy: As `precision` in `with_precision`.
        field: Name of the field or argument that states it.
    """
    reason = why_slower(policy)
    if reason is not None:
        LOGGER.warning(f"{field}={policy} is slower here than float32: {reason}")


def with_precision(model: Any, precision: str) -> Any:
    """Return the model with a dtype policy; the model itself if it has it already.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter`, `DarknetModel` or exported file.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".

    Raises:
        UserError: The model cannot be built with it, or is an exported file, which computes in the
            precision that it was exported in.
    """
    if isinstance(model, WithSignature):
        if precision != "float32":
            raise UserError(
                "an exported file computes in the precision that it was exported in",
                rule=option("precision", "float32"),
                received=option("precision", precision),
                fix=f"use the model file, or {option('precision', 'float32')}",
            )
        return model
    is_half = bool(half_precision_layers(model))
    if model.dtype_policy.name == precision or (precision == "float32" and not is_half):
        return model
    return rebuilt(
        model, {"dtype": precision}, f"with the dtype policy {precision}",
        rule="parts that accept this policy, with the same weights",
        fix=option("precision", "float32"),
    )  # fmt: skip


def half_precision_layers(model: Any) -> list[Any]:
    """Return the layers that compute in bfloat16 or float16."""
    layers = with_sublayers(model)
    return [layer for layer in layers if layer.compute_dtype in ("bfloat16", "float16")]


def rebuilt(model: Any, changes: dict[str, Any], purpose: str, *, rule: str, fix: str) -> Any:
    """Build a model again with changes of its config, and copy its weights.

    Args:
        model: The model.
        changes: Changes of its config.
        purpose: What the other model is for, for errors: "for images of 64 × 64".
        rule: What the parts must fulfill, for errors.
        fix: How to resolve errors.

    Raises:
        UserError: The model cannot be built, or has other weights then.
    """
    try:
        other = type(model).from_config(model.get_config() | changes)
    except UserError:
        raise
    except Exception as error:  # a user's `wire` may raise anything
        raise UserError(
            f"the model cannot be built {purpose}",
            rule=rule,
            received=" ".join(str(error).split())[:300],
            fix=fix,
        ) from error
    # Values are copied in the order of the weights, so paths and shapes must be equal.
    weights, others = ([(w.path, tuple(w.shape)) for w in m.weights] for m in (model, other))
    if weights != others:
        differing = [w for w in weights if w not in others] or others[len(weights) :]
        raise UserError(
            f"the model has different weights {purpose}",
            rule=rule,
            received=f"{differing[0][0]} of shape {differing[0][1]} exists in one of them only",
            fix=fix,
        )
    for weight, own in zip(other.weights, model.weights, strict=True):
        weight.assign(own.value)
    return other
