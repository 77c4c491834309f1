"""Values inside a PyTorch module in memory: the outputs of its modules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from visiongarden.backends.torch_values import outputs_of
from visiongarden.weights.networks.network import (
    Network,
    Shape,
    Values,
    cannot_run,
    fitting,
    unused,
)


def torch_network(module: Any) -> Network:
    """Return the network of a module, which takes (batch, channels, height, width)."""
    label = type(module).__name__

    def values(image: np.ndarray, shapes: Collection[Shape]) -> Values:
        try:
            found = outputs_of(module, image)
        except Exception as error:  # the code of a module may raise errors of any type
            raise cannot_run(label, image, error) from error
        names: set[str] = set()
        for name, array in found:
            names.add(numbered := unused(name or label, names))
            yield from fitting(numbered, array, shapes)

    return Network(label, False, values)
