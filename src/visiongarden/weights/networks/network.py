"""`Network`: the network of a source of weights, and the values inside it for one image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from visiongarden.errors import UserError

Shape = tuple[int, ...]
"""(1, height, width, channels), or (1, outputs)."""

Values = Iterator[tuple[str, np.ndarray]]
"""Name and array of each value of one of the wanted shapes."""


@dataclass(frozen=True)
class Network:
    """The network of a source.

    Attributes:
        label: Name of the source in messages.
        takes_pixels: Whether it takes pixel values as stored; otherwise it takes what the
            preprocessing of the target makes of them.
        values: Function of one image, (1, height, width, channels), and the wanted shapes, that
            yields the values of these shapes.
    """

    label: str
    takes_pixels: bool
    values: Callable[[np.ndarray, Collection[Shape]], Values]


def fitting(name: str, array: np.ndarray, shapes: Collection[Shape]) -> Values:
    """Yield an array that has a wanted shape, as it is or with its channels moved to the end."""
    if array.shape in shapes:
        yield name, array
    if array.ndim == 4:
        moved = array.transpose(0, 2, 3, 1)
        # A map of as many channels as cells fits in both orders, of which one is right.
        if moved.shape in shapes:
            yield name, moved


def unused(name: str, used: Collection[str]) -> str:
    """Return a name for another output of a layer that is called several times: numbered."""
    numbered = (f"{name}:{number}" for number in itertools.count(1))
    return name if name not in used else next(each for each in numbered if each not in used)


def cannot_run(label: str, image: np.ndarray, error: Exception) -> UserError:
    """Return the error of a network that does not take the images of the target."""
    return UserError(
        f"the network of {label} cannot be run on the images of the target; nothing was changed",
        rule=f"it takes one float32 image, {image.shape} or with the channels first",
        received=" ".join(str(error).split())[:300],
        fix="build the target with the image_size and the channels of the source",
    )
