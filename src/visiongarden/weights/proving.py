"""`prove`: the values of source and target for the same images, compared level by level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from visiongarden.data.given_images import each_image
from visiongarden.data.model_pixels import pixels_for
from visiongarden.errors import UserError, option
from visiongarden.models import Joined
from visiongarden.models.preprocessed import LAYER
from visiongarden.types import ImageSize
from visiongarden.weights.live import named_weights
from visiongarden.weights.networks import Network, network_of
from visiongarden.weights.networks.keras_network import named_values
from visiongarden.weights.proof import Compared, Proof
from visiongarden.weights.report import BODY, TransferReport, within

_PARTS = (*BODY, "head")
_MAX_IMAGES = 64


@dataclass
class _Statistics:
    """Sums over the images of one value of the source."""

    difference: float = 0.0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def add(self, mine: np.ndarray, theirs: np.ndarray) -> None:
        exact = theirs.astype(np.float64)
        difference = float(np.abs(mine - exact).max(initial=0.0))
        # NaN would lose every comparison, and with it the difference.
        self.difference = max(self.difference, difference if np.isfinite(difference) else math.inf)
        self.sums += (exact.size, exact.sum(), np.square(exact).sum())

    def deviation(self) -> float:
        count, total, squares = self.sums
        return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))


def copy_and_prove(
    copy: Callable[[], TransferReport], source: Any, target: Any, images: Any, tolerance: float
) -> TransferReport:
    """Copy weights, and compare source and target on images.

    Args:
        copy: Function that copies the weights.
        source: As in `transfer`.
        target: The model that receives the weights.
        images: As in `given_images`.
        tolerance: As in `prove`.

    Raises:
        UserError: As in `prove`; the target is unchanged then.
    """
    if not (isinstance(tolerance, int | float) and 0 < tolerance < math.inf):
        raise UserError(
            f"{option('tolerance', tolerance)} is not valid",
            rule="a number above 0, in standard deviations",
            fix=option("tolerance", 1e-4),
        )
    network, given = network_of(source), given_images(images, target)
    before = [(w, keras.ops.convert_to_numpy(w.value)) for w in target.weights]
    preprocessing = target.preprocessing
    report = copy()
    try:
        return replace(report, proof=prove(network, target, report, given, tolerance))
    except BaseException:
        for weight, value in before:
            weight.assign(value)
        target.set_preprocessing(preprocessing)
        raise


def given_images(images: Any, target: Any) -> list[np.ndarray]:
    """Return the images of a proof as the target takes them, each (1, height, width, channels).

    Args:
        images: An image, a folder, a batch or an iterable of images, as in `predict`.
        target: The model that receives the weights.

    Raises:
        UserError: There are no images, or the target has no image size.
        DataError: A file cannot be decoded.
    """
    if not isinstance(target, Joined) or target.image_size is None:
        raise UserError(
            f"{target.name} has no image size, so that images cannot be given to it",
            rule="a Detector, Classifier or Segmenter with an image_size",
            received=type(target).__name__,
            fix="vg.Classifier(backbone, head, image_size=224)",
        )
    size: ImageSize = target.image_size
    placed = []
    given = each_image(images, "transfer(source, model, prove={})")
    for number, image in enumerate(itertools.islice(given, _MAX_IMAGES)):
        pixels = pixels_for(image, target.preprocessing, None, f"image {number}")
        placed.append(target.resize.place(pixels, size)[0][None])
    return placed


def prove(
    network: Network,
    target: Joined,
    report: TransferReport,
    images: Iterable[np.ndarray],
    tolerance: float,
) -> Proof:
    """Compare the values of a source's network with those of the target.

    Each level of backbone and decoder and each output of the head is compared with the value of
    the source that is nearest to it among all values of its shape, over all images. An output of
    the source after a softmax or sigmoid is compared with the target's after the same.

    Args:
        network: The network of the source.
        target: The model that received the weights.
        report: Report of the transfer.
        images: From `given_images`.
        tolerance: Largest difference that passes, in standard deviations.

    Raises:
        UserError: Not all weights of the backbone were copied, or the network cannot be run.
    """
    parts = _complete(target, report)
    found: dict[str, dict[str, _Statistics]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    values, count = named_values(target), 0
    for image in images:
        count += 1
        mine = {n: v for n, v in values(image).items() if within(n, parts)}
        shapes |= {name: value.shape[1:] for name, value in mine.items()}
        given = image if network.takes_pixels else _preprocessed(target, image)
        for source, theirs in network.values(given, {v.shape for v in mine.values()}):
            for name, value in mine.items():
                for form, changed in _forms(value, theirs):
                    statistics = found.setdefault(name, {})
                    statistics.setdefault(f"{form}{source}", _Statistics()).add(changed, theirs)
    levels = tuple(_nearest(name, shape, found.get(name, {})) for name, shape in shapes.items())
    left_out = tuple(part for part in _PARTS if part not in parts)
    return Proof(levels, left_out, count, tolerance)


def _complete(target: Joined, report: TransferReport) -> tuple[str, ...]:
    """Return the parts up to the first one of which a weight was not copied.

    Raises:
        UserError: That is the backbone.
    """
    partly = {moved.path for moved in (*report.copied, *report.renamed) if moved.fresh}
    missing = set(named_weights(target)) - (set(report.paths) - partly)
    whole = itertools.takewhile(
        lambda part: not any(within(path, (part,)) for path in missing), _PARTS
    )
    parts = tuple(whole)
    if not parts:
        first = min(path for path in missing if within(path, ("backbone",)))
        raise UserError(
            "no level can be compared, because not all weights of the backbone were copied; "
            "nothing was changed",
            rule="all weights of the backbone are those of the source",
            received=f"not copied: {first}",
            fix=f"leave out {option('prove')}",
        )
    return parts


def _preprocessed(target: Joined, image: np.ndarray) -> np.ndarray:
    found: np.ndarray = keras.ops.convert_to_numpy(target.get_layer(LAYER)(image))
    return found


def _forms(mine: np.ndarray, theirs: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the forms in which a value of the target may be that of the source."""
    if mine.shape != theirs.shape:
        return
    yield "", mine
    is_probability = theirs.min(initial=0.0) >= 0 and theirs.max(initial=0.0) <= 1
    if mine.ndim == 2 and is_probability:
        powers = np.exp(mine - mine.max(-1, keepdims=True))
        yield "softmax ", powers / powers.sum(-1, keepdims=True)
        yield "sigmoid ", 1 / (1 + np.exp(-np.clip(mine, -80, 80)))


def _nearest(name: str, shape: tuple[int, ...], candidates: dict[str, _Statistics]) -> Compared:
    compared = [
        Compared(name, source, shape, each.difference, each.deviation())
        for source, each in candidates.items()
    ]
    nothing = Compared(name, "", shape, math.inf, 0.0)
    return min(compared, key=lambda each: each.relative, default=nothing)
