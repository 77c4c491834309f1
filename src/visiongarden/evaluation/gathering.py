"""Results of the batches that several processes evaluated, in the order of one process."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from visiongarden.backends.distribution import exchanged
from visiongarden.backends.engine import engine

_OF_NUMPY = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{package}.{name}", function)
        for package in ("core", "_core")
        for name, function in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}
_OF_PYTHON = {("copyreg", "_reconstructor"), ("builtins", "object"), ("builtins", "slice")}


class Evaluated(NamedTuple):
    """Results of one batch.

    Attributes:
        number: Number of the batch in the order of the dataset.
        results: One result for each image.
        loss: Sums and counts of the terms of the loss, if it is computed.
    """

    number: int
    results: list[Any]
    loss: dict[str, Any] | None


def gathered(
    own: Sequence[Evaluated], batches: int, measure: Callable[[list[Evaluated]], Any]
) -> Any:
    """Return the measurement of all batches, which process 0 takes in their order.

    Args:
        own: Batches that this process evaluated.
        batches: Number of batches of all processes.
        measure: Function of all batches; called in process 0.
    """
    if engine().processes == 1:
        return measure(list(own))

    def decide(messages: Sequence[bytes]) -> bytes:
        found = [batch for message in messages for batch in _unpacked(message)]
        found.sort(key=lambda batch: batch.number)
        numbers = [batch.number for batch in found]
        if numbers != list(range(batches)):
            raise RuntimeError(f"batches {numbers} of {batches} were evaluated")
        return pickle.dumps(measure(found))

    return _unpacked(exchanged(pickle.dumps(list(own)), decide))


def _unpacked(message: bytes) -> Any:
    return _Unpickler(io.BytesIO(message)).load()


class _Unpickler(pickle.Unpickler):
    """Unpickler of results, which calls nothing but classes of results and of NumPy.

    The messages come from the processes of the same run, but over the network.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a class, if it is one of visiongarden or of a task that is registered.

        Raises:
            UnpicklingError: It is another one.
        """
        if (module, name) in _OF_NUMPY | _OF_PYTHON:
            return super().find_class(module, name)
        if module.partition(".")[0] == "visiongarden":
            found = super().find_class(module, name)
            # Samples are rebuilt by functions of their own package.
            if isinstance(found, type) or module.startswith("visiongarden.samples."):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a class of results")
