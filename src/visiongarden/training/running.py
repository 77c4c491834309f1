"""`trained_with`: a model with the loss and the image sizes of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from visiongarden.backends.input_shape import any_input_shape
from visiongarden.losses import Loss
from visiongarden.models import Joined
from visiongarden.training.size_variants import SizeVariants
from visiongarden.types import ImageSize

_STATE = ("_run_loss", "_term_trackers", "_torch_step", "_size_variants")


@contextlib.contextmanager
def trained_with(
    model: Joined, loss: Loss | None = None, sizes: Sequence[ImageSize] = ()
) -> Iterator[None]:
    """Train a model with a loss, which need not be that of its head, and at several image sizes.

    Compile the model inside this context.

    Args:
        model: The model.
        loss: Loss; None for that of the head.
        sizes: Image sizes of the batches; the model's own if there is at most one.

    Raises:
        UserError: The model cannot be built at one of the sizes.
    """
    # `vars`, because Keras would track the variants as layers.
    state: Any = vars(model)
    _forget(state)
    with contextlib.ExitStack() as stack:
        if len(sizes) > 1:
            state["_size_variants"] = SizeVariants(model, sizes)
            stack.enter_context(any_input_shape(model))
        if loss is not None:
            state["_run_loss"] = loss
        try:
            yield
        finally:
            _forget(state)


def variants_of(model: Joined) -> list[Joined]:
    """Return the models of the other image sizes, while a model is trained at several sizes."""
    found: SizeVariants | None = vars(model).get("_size_variants")
    return [] if found is None else list(found.variants.values())


def _forget(state: Any) -> None:
    for name in _STATE:
        state.pop(name, None)
