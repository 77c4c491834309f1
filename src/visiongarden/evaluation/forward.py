"""Compiled forward passes of a model, one per image size, cached on the model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from visiongarden.backends.forward import compiled
from visiongarden.backends.garbage import gc_paused
from visiongarden.evaluation.decoding import decoding_of
from visiongarden.models.kinds import WithSignature, preprocessing_of
from visiongarden.types import ImageSize

Forward: TypeAlias = Callable[[np.ndarray], dict[str, Any]]

MAX_SIZES = 8
"""Maximum number of image sizes with a cached forward pass; the least recently used is dropped."""

RAW = "raw"
"""Key of the raw predictions beside the decoded arrays."""

_ATTRIBUTE = "_visiongarden_forwards"
_LOCK = threading.Lock()


def forward_of(model: Any, size: ImageSize, with_raw: bool = False) -> Forward:
    """Return the compiled forward pass of a model for one image size, decoding included.

    The pass is compiled once per model and size, cached on the model, and uses the model's current
    weights at each call.

    Args:
        model: A model.
        size: (height, width) of the images.
        with_raw: Whether to return the raw predictions as well.

    Returns:
        A function of images (batch, height, width, channels), of the type of the model's
        preprocessing, that returns the head's decoded arrays by name; with the raw predictions
        under "raw" if they are requested.
    """
    if isinstance(model, WithSignature):
        run: Forward = model.at_size(size)
        return run
    with _LOCK:
        cache: OrderedDict[Any, Forward] = vars(model).get(_ATTRIBUTE) or OrderedDict()
        # `object.__setattr__` avoids Keras's tracking of attributes. Stored on the model and not in
        # a global cache, so that compiled code is freed together with the model.
        object.__setattr__(model, _ATTRIBUTE, cache)
        # A compiled pass contains the numbers of the preprocessing, which weights may replace.
        preprocessing = preprocessing_of(model)
        key = (size, preprocessing, with_raw)
        if key not in cache:
            shape = (None, *size, preprocessing.channels)
            forward = _plain(model, size, with_raw)
            cache[key] = compiled(forward, model, shape, preprocessing.dtype)
        cache.move_to_end(key)
        while len(cache) > MAX_SIZES:
            cache.popitem(last=False)
        return cache[key]


def _plain(model: Any, size: ImageSize, with_raw: bool) -> Forward:
    decode = decoding_of(model)

    # The model is not fused first: for a single image, folding takes longer than it saves.
    def forward(images: Any) -> dict[str, Any]:
        with gc_paused():  # mostly runs while tracing, which makes many objects and no garbage
            raw = model(images, training=False)
            return decode(raw, size) | ({RAW: raw} if with_raw else {})

    return forward
