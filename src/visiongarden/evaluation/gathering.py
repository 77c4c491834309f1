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
_OF_SAMPLES = {("visiongarden.samples.instances", "_rebuilt")}
_OF_RESULTS = (
    "visiongarden.types",
    "visiongarden.samples",
    "visiongarden.tasks",
    "visiongarden.evaluation.result",
    "visiongarden.evaluation.gathering",
)
"""Modules and packages whose classes results consist of."""


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
        found = [batch for message in messages for batch in unpacked(message)]
        found.sort(key=lambda batch: batch.number)
        numbers = [batch.number for batch in found]
        if numbers != list(range(batches)):
            raise RuntimeError(f"batches {numbers} of {batches} were evaluated")
        return pickle.dumps(measure(found))

    return unpacked(exchanged(pickle.dumps(list(own)), decide))


def unpacked(message: bytes) -> Any:
    """Return what another process has sent.

    Args:
        message: Pickle of results.

    Raises:
        UnpicklingError: It names a class that results do not consist of.
    """
    return _Unpickler(io.BytesIO(message)).load()


class _Unpickler(pickle.Unpickler):
    """Unpickler of results, which calls nothing but classes of results and of NumPy.

    The messages come from the processes of the same run, but over the network.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that results consist of.

        Raises:
            UnpicklingError: It is another one.
        """
        if (module, name) in _OF_NUMPY | _OF_PYTHON | _OF_SAMPLES:
            return super().find_class(module, name)
        if any(module == each or module.startswith(f"{each}.") for each in _OF_RESULTS):
            found = super().find_class(module, name)
            # A name with a dot, or one that the module has imported, may be anything.
            if isinstance(found, type) and (found.__module__, found.__qualname__) == (module, name):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a class of results")
