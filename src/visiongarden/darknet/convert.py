"""`import_darknet`, `export_darknet`: cfg and weights files <-> models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from visiongarden.darknet import parts
from visiongarden.darknet.cfg import MOST_BYTES, Cfg, parse_cfg
from visiongarden.darknet.geometry import geometry
from visiongarden.darknet.model import DarknetModel
from visiongarden.darknet.trace import trace
from visiongarden.darknet.weights import (
    Header,
    assign,
    collect,
    read_weights,
    write_weights,
)
from visiongarden.errors import UserError
from visiongarden.models import Detector
from visiongarden.storage import atomic_write
from visiongarden.types import ClassMap, ImageSize


def import_darknet(
    cfg: str | Path | Cfg,
    weights: str | Path | None = None,
    image_size: ImageSize | None = None,
    class_map: ClassMap | Sequence[str] | None = None,
    cutoff: int | None = None,
    as_parts: bool = False,
    dtype: str | None = None,
    epsilon: float | None = None,
    name: str | None = None,
) -> DarknetModel | Detector:
    """A Keras model from a Darknet cfg, with the numbers of a .weights file.

    Args:
        cfg: the file, its text, or a parsed cfg.
        weights: the .weights file; None leaves new weights.
        image_size: (height, width) instead of the cfg's own.
        class_map: names of the classes, in order; as the lines of a .names file.
        cutoff: the weights file holds the first so many layers only (as darknet53.conv.74, 74);
            layers after them keep new weights.
        as_parts: a `Detector` of our parts that computes the same, to be trained and recombined;
            of a cfg that is one, such as yolov3.cfg. Else a `DarknetModel`, of any cfg.
        dtype: of a `DarknetModel`, as there.
        epsilon: of a `DarknetModel`, as there.
        name: of a `DarknetModel`.

    Raises:
        ModelFileError: a file is missing or not sound: names section and line of the cfg, or layer
            and byte of the weights.
        UserError: `as_parts`, and no detector of ours has the cfg's layers.

    Example:
        >>> model = vg.import_darknet("yolov3.cfg", "yolov3.weights")
        >>> model.detect("dog.jpg")
        >>> model.save("yolov3.keras")
    """
    cfg = cfg if isinstance(cfg, Cfg) else parse_cfg(cfg)
    if cutoff is not None and weights is None:
        raise UserError("cutoff goes with a weights file", fix="weights=...")
    steps = geometry(cfg, image_size)
    read = None
    if weights is not None:  # before the graph: a wrong file is told at once
        read = read_weights(weights, steps, cutoff)
    if as_parts:
        _refuse_with_parts(dtype=dtype, epsilon=epsilon, name=name)
        detector, traced = parts.as_parts(cfg, steps, image_size, class_map)
        if read is not None:
            assign(traced.slots, read[1], read[0].transposed)
            parts.match_epsilon(traced.norms)
        return detector
    empty = read is not None and cutoff is None
    options = {} if epsilon is None else {"epsilon": epsilon}
    model = DarknetModel(cfg, image_size, class_map, dtype, empty=empty, name=name, **options)
    if read is not None:
        model.header, values = read
        assign(model.slots, values, model.header.transposed)
    return model


def _refuse_with_parts(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(
            f"{given[0]} is no option of a detector of parts",
            rule=f"{', '.join(options)} are of a DarknetModel",
            fix=f"leave out {given[0]}, or as_parts",
        )


def export_darknet(
    model: keras.Model, cfg: str | Path, weights: str | Path, image_size: ImageSize | None = None
) -> None:
    """Writes a model as Darknet files; an imported one gives back the very files it came from.

    Args:
        model: a model from `import_darknet`, a `Detector` with an anchor-based head, or any Keras
            graph of one image whose layers Darknet has.
        cfg: where the cfg is written.
        weights: where the weights are written.
        image_size: (height, width) where the model leaves it open.

    Raises:
        UserError: the model has a layer that Darknet lacks, or no size; names it. Nothing is
            written then.
    """
    if isinstance(model, DarknetModel):
        text, slots, header = model.cfg.text, model.slots, model.header
        if image_size is not None and tuple(image_size) != tuple(model.image_size):
            raise UserError("an imported model has its size", fix="import it at another one")
        arrays = [collect(slot, header.transposed) for slot in slots]
    else:
        traced = trace(model, image_size)
        text, header = traced.text, Header()
        arrays = parts.in_darknets_epsilon(traced)
    write_weights(weights, header, arrays)
    atomic_write(cfg, text)


def import_files(
    cfg: str | Path,
    weights: str | Path | None = None,
    output: str | Path | None = None,
    names: str | Path | None = None,
    as_parts: bool = False,
) -> Path:
    """`import_darknet`, saved as a model file.

    Args:
        cfg: Darknet's .cfg.
        weights: Darknet's .weights.
        output: the .keras file; by default the cfg's name, in the working directory.
        names: a text file with the classes' names, one a line.
        as_parts: as of `import_darknet`.

    Raises:
        UserError: as of `import_darknet`; or the names are not one for each class.
    """
    output = Path(output or Path(cfg).with_suffix(".keras").name)
    if output.suffix != ".keras":
        raise UserError(f"cannot save a model as {output}", rule="the name ends in .keras")
    class_map = None if names is None else read_names(names)
    model = import_darknet(Path(cfg), weights, class_map=class_map, as_parts=as_parts)
    model.save(output)
    return output


def read_names(path: str | Path) -> tuple[str, ...]:
    """Names of classes, one a line; blank lines at the end do not count."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise UserError(f"there is no file of names {path}", rule="text, one name a line")
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return tuple(line.strip() for line in lines)
