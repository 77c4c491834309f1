"""The `resize` of a model: how images of any size are brought to the size of its input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from visiongarden.config.files import writing_files
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, ModelFileError
from visiongarden.transforms import Resizing
from visiongarden.transforms.resizing import FILL


def as_resize(
    given: Resizing | Mapping[str, Any] | str | None,
    default: Resizing,
    preprocessing: Preprocessing,
) -> Resizing:
    """Return the resize of a model, with a fill value for its images.

    Args:
        given: A `Resizing`, its fields or its name; None for the default.
        default: That of the model's task.
        preprocessing: What the first layer does to the images.

    Raises:
        ConfigError: It is not a `Resizing`, is not applied to every image, or has a fill value that
            the images cannot have.
    """
    found = default if given is None else given
    if not isinstance(found, Resizing):
        found = _read(found)
    if found.probability != 1 or found.skip_last_epochs:
        raise ConfigError(
            "the resize of the model would not be applied to every image",
            rule="probability 1 and skip_last_epochs 0",
            received=f"{found}",
            fix=f"resize={json.dumps({'type': type(found).__name__})}",
        )
    if found.fill is None and preprocessing.dtype != "uint8":
        found = found.replace(fill=gray(preprocessing))
    _check_fill(found, preprocessing)
    return found


def _read(fields: Any) -> Resizing:
    """Return the resize of a name, or with these fields."""
    if isinstance(fields, str):
        fields = {"type": fields}
    if not isinstance(fields, Mapping):
        raise ConfigError(
            f"resize is of type {type(fields).__name__}",
            rule="a Resizing such as vg.transforms.Letterbox(), its name or its fields",
            received=f"{fields!r:.80}",
            fix='resize="Letterbox"',
        )
    return Resizing.from_dict(fields)


def gray(preprocessing: Preprocessing) -> float:
    """Return the pixel value that corresponds to 114 of 255."""
    white = 1 / preprocessing.scale
    if preprocessing.max_value is not None:
        # A backbone may scale whole numbers itself.
        white = round(white) if white > 1.5 else preprocessing.max_value
        return min(round(FILL / 255 * white), preprocessing.max_value)
    return FILL / 255 * white


def _check_fill(resize: Resizing, preprocessing: Preprocessing) -> None:
    values, channels, highest = resize.values, preprocessing.channels, preprocessing.max_value
    if len(values) not in (1, channels):
        raise ConfigError(
            f"resize.fill has {len(values)} values",
            rule=f"one number, or one for each of the {channels} channels of the images",
            received=f"{list(values)}",
            fix=f"resize={json.dumps({'type': type(resize).__name__, 'fill': values[0]})}",
        )
    if highest is not None and max(values) > highest:
        raise ConfigError(
            "resize.fill is not a pixel value",
            rule=f"0 to {highest}, for {preprocessing.dtype}",
            received=f"{list(values)}",
            fix=f"resize={json.dumps({'type': type(resize).__name__, 'fill': 0})}",
        )


def resize_in(config: Mapping[str, Any]) -> Resizing:
    """Return the resize in the config of a model.

    Raises:
        ModelFileError: The config contains none, so that it is not known how images were resized,
            or one that is not valid.
    """
    fields = config.get("resize")
    if not isinstance(fields, Mapping):
        raise ModelFileError(
            "the file does not contain how the model's images are resized",
            rule="a file of this version, with the field `resize`",
            received=repr(fields)[:80],
            fix='build the model from its recipe, then vg.transfer("OLD.keras", model)',
        )
    try:
        return Resizing.from_dict(fields)
    except ConfigError as error:
        raise ModelFileError(
            f"the resize of the model is not valid: {error.what}",
            rule=error.rule,
            received=error.received,
            fix=error.fix,
        ) from error


def written_resize(resize: Resizing) -> dict[str, Any]:
    """Return the resize of a model as its config contains it."""
    with writing_files():
        return resize.to_dict()
