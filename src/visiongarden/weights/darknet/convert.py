"""`import_darknet`, `export_darknet`: cfg and weights files <-> models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.types import ClassMap, ImageSize
from visiongarden.weights.darknet.cfg import Cfg, parse_cfg
from visiongarden.weights.darknet.geometry import geometry
from visiongarden.weights.darknet.model import DarknetModel
from visiongarden.weights.darknet.weights import assign, read_weights, write_beside, write_weights


def import_darknet(
    cfg: str | Path | Cfg,
    weights: str | Path | None = None,
    image_size: ImageSize | None = None,
    class_map: ClassMap | Sequence[str] | None = None,
    cutoff: int | None = None,
    **kwargs: Any,
) -> DarknetModel:
    """A Keras model from a Darknet cfg, with the numbers of a .weights file.

    Args:
        cfg: the file, its text, or a parsed cfg.
        weights: the .weights file; None leaves new weights.
        image_size: (height, width) instead of the cfg's own.
        class_map: names of the classes, in order; as the lines of a .names file.
        cutoff: the weights file holds the first so many layers only (as darknet53.conv.74, 74);
            layers after them keep new weights.
        **kwargs: `dtype`, `epsilon` and `name` of the model.

    Raises:
        ModelFileError: a file is missing or not sound: names section and line of the cfg, or layer
            and byte of the weights.

    Example:
        >>> model = vg.import_darknet("yolov3.cfg", "yolov3.weights")
        >>> model.detect("dog.jpg")
        >>> model.save("yolov3.keras")
    """
    cfg = cfg if isinstance(cfg, Cfg) else parse_cfg(cfg)
    if cutoff is not None and weights is None:
        raise UserError("cutoff goes with a weights file", fix="weights=...")
    read = None
    if weights is not None:  # before the graph: a wrong file is told at once
        read = read_weights(weights, geometry(cfg, image_size), cutoff)
    empty = read is not None and cutoff is None
    model = DarknetModel(cfg, image_size, class_map, empty=empty, **kwargs)
    if read is not None:
        model.header, values = read
        assign(model.slots, values, model.header.transposed)
    return model


def export_darknet(model: keras.Model, cfg: str | Path, weights: str | Path) -> None:
    """Writes a model as Darknet files; an imported one gives the files that it came from.

    Args:
        model: a model from `import_darknet`.
        cfg: where the cfg is written.
        weights: where the weights are written.

    Raises:
        UserError: the model has a layer that Darknet lacks; names it.
    """
    if not isinstance(model, DarknetModel):
        raise UserError(f"cannot export {type(model).__name__}")
    write_weights(weights, model.header, model.slots)
    write_beside(Path(cfg), lambda stream: stream.write(model.cfg.text.encode()))
