"""Failures within a step that the user can resolve: short memory, and errors of the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from visiongarden.backends.out_of_memory import out_of_memory
from visiongarden.errors import UserError
from visiongarden.training.source import EpochBatches


class MemoryShortError(UserError):
    """Raised when a step of a run does not fit into the memory.

    Attributes:
        batch_size: The next smaller batch size to try; None if a batch has one image.
    """

    def __init__(self, batch_size: int, image: str, message: str) -> None:
        self.batch_size = batch_size // 2 or None
        super().__init__(
            f"the memory is too small for a batch of {batch_size} images of {image} pixels",
            rule="the activations and gradients of one step fit into the memory of the device",
            received=message,
            fix="a smaller image size or model"
            if self.batch_size is None
            else f"batch_size={self.batch_size} for the loader",
        )


@contextlib.contextmanager
def explained(source: EpochBatches, batch_size: int, image: str) -> Iterator[None]:
    """Raise the cause of a failure in place of what a backend made of it.

    Args:
        source: Batches of the run; their own error is raised instead of the backend's.
        batch_size: Images of a step.
        image: Size of an image, such as "64 × 64".

    Raises:
        MemoryShortError: Memory is short.
    """
    try:
        yield
    except Exception as error:
        cause = error if source.error is None else source.error
        message = None if isinstance(cause, UserError) else out_of_memory(cause)
        if message is not None:
            raise MemoryShortError(batch_size, image, message) from error
        if cause is error:
            raise
        raise cause from error
