"""Whether a run can be divided among its devices, and the line about them at its start."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.backends.engine import engine
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import ConfigError, UserError
from visiongarden.layers import BatchNorm
from visiongarden.training.settings import Training


@runtime_checkable
class _Counted(Protocol):
    """A loader that knows its images; a custom one need not."""

    batch_size: int

    def __len__(self) -> int: ...

    @property
    def images_per_epoch(self) -> int: ...


def check_devices(loader: Any, model: keras.Model, settings: Training) -> None:
    """Check before the first step that a run can be divided among its devices.

    Args:
        loader: Loader of the training images.
        model: Model to train.
        settings: Settings of the run.

    Raises:
        UserError: It cannot.
    """
    active = engine()
    if active.devices == 1:
        return
    check_batch_size(loader.batch_size)
    total = len(loader) * loader.batch_size
    if isinstance(loader, _Counted) and loader.images_per_epoch < total:
        raise UserError(
            f"the last batch has fewer than {loader.batch_size} images",
            rule="batches of one size, of which each device takes the same part",
            received=f"{loader.images_per_epoch} images in {len(loader)} batches",
            fix="drop_remainder=True in the loader",
        )
    if settings.precision == "mixed_float16" and active.replicas > 1:
        raise ConfigError(
            "mixed_float16 cannot be trained on several devices",
            rule="float32 or mixed_bfloat16: with float16, each device scales its loss by itself",
            received="precision=mixed_float16",
            fix="training.precision=mixed_bfloat16",
        )
    _check_norms(model, settings)


def _check_norms(model: keras.Model, settings: Training) -> None:
    active, chosen = engine(), settings.batch_norm
    if chosen is not None and chosen not in active.norms:
        raise ConfigError(
            f"batch normalization cannot be {chosen} on {keras.backend.backend()}",
            rule=f"{' or '.join(active.norms)}: the step is one program for all devices there",
            received=f"batch_norm={chosen}",
            fix=f"training.batch_norm={active.norms[0]}",
        )
    if chosen != "synchronized" or active.replicas == 1:
        return
    for layer in with_sublayers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and not isinstance(layer, BatchNorm):
            raise ConfigError(
                f"{layer.path} cannot be synchronized",
                rule="visiongarden.layers.BatchNorm; keras.layers.BatchNormalization uses the "
                "batch of one device",
                received=type(layer).__name__,
                fix="training.batch_norm=per_device",
            )


def describe_devices(settings: Training) -> list[str]:
    """Return one line on the devices and on batch normalization; none for one device."""
    active = engine()
    if active.devices == 1:
        return []
    kind = settings.batch_norm or active.norms[0]
    text = {
        "per_device": "of the images of each device",
        "synchronized": "of the whole batch",
    }[kind]
    return [f"{active.name}; batch normalization by the statistics {text} ({kind})"]


def check_batch_size(batch_size: int, limit: int | None = None) -> None:
    """Check that the devices divide a batch.

    Args:
        batch_size: Number of images of the batch of all devices.
        limit: Largest number of images that is possible.

    Raises:
        UserError: They do not; the message names the two nearest sizes.
    """
    devices = engine().devices
    if batch_size % devices == 0:
        return
    lower = max(batch_size // devices, 1) * devices
    sizes = [lower, lower + devices]
    possible = [size for size in sizes if limit is None or size <= limit] or sizes
    nearest = min(possible, key=lambda size: (abs(size - batch_size), size))
    raise UserError(
        f"a batch of {batch_size} images cannot be divided among {devices} devices",
        rule=f"a multiple of {devices}; the nearest are {' and '.join(map(str, sizes))}",
        received=f"batch_size={batch_size}",
        fix=f"training.batch_size={nearest}",
    )
