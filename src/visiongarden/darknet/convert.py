"""`import_darknet` and `export_darknet`: conversion between Darknet files and Keras models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from visiongarden.darknet import parts
from visiongarden.darknet.cfg import MAX_BYTES, Cfg, parse_cfg
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
    """Build a Keras model from a Darknet cfg and load the weights of a .weights file.

    Args:
        cfg: Path of the cfg, its text, or a parsed cfg.
        weights: Path of the .weights file. By default the weights are newly initialized.
        image_size: (height, width) in pixels, which replaces the size in the cfg.
        class_map: Names of the classes in order, such as the lines of a .names file.
        cutoff: Number of layers whose weights the file contains, if these are not all layers
            (74 for darknet53.conv.74). The other layers keep newly initialized weights.
        as_parts: Whether to return a `Detector` made of visiongarden's parts, which computes the
            same and whose parts can be trained and recombined. This requires a cfg with the layers
            of such a detector, such as yolov3.cfg. By default any supported cfg becomes a
            `DarknetModel`.
        dtype: Dtype policy of the `DarknetModel`.
        epsilon: Epsilon of batch normalization in the `DarknetModel`.
        name: Name of the `DarknetModel`.

    Returns:
        The model: a `Detector` if `as_parts`, otherwise a `DarknetModel`.

    Raises:
        ModelFileError: If a file is missing or invalid. The message names the section and line of
            the cfg, or the layer and byte of the weights file.
        UserError: If `as_parts` is set and no detector made of parts has the layers of the cfg, or
            if an argument does not apply.

    Example:
        >>> cfg = "[net]\\nwidth=32\\nheight=32\\n[conv]\\nfilters=8\\nsize=3\\npad=1\\nstride=2"
        >>> vg.import_darknet(cfg).output_shape
        (None, 16, 16, 8)

        With the files of a published detector:

        >>> model = vg.import_darknet("yolov3.cfg", "yolov3.weights")  # doctest: +SKIP
        >>> detections = model.detect("dog.jpg")  # doctest: +SKIP
        >>> model.save("yolov3.keras")  # doctest: +SKIP
    """
    cfg = cfg if isinstance(cfg, Cfg) else parse_cfg(cfg)
    if cutoff is not None and weights is None:
        raise UserError("cutoff requires a weights file", fix="weights=...")
    steps = geometry(cfg, image_size)
    read = None
    if weights is not None:  # Before the graph is built, so that an invalid file fails immediately.
        read = read_weights(weights, steps, cutoff)
    if as_parts:
        _check_options_of_parts(dtype=dtype, epsilon=epsilon, name=name)
        detector, traced = parts.as_parts(cfg, steps, image_size, class_map)
        if read is not None:
            assign(traced.slots, read[1], read[0].transposed)
            parts.match_epsilon(traced.norms)
        return detector
    # With all weights in the file, kernels start as zeros instead of random values.
    empty = read is not None and cutoff is None
    options = {} if epsilon is None else {"epsilon": epsilon}
    model = DarknetModel(cfg, image_size, class_map, dtype, empty=empty, name=name, **options)
    if read is not None:
        model.header, values = read
        assign(model.slots, values, model.header.transposed)
    return model


def _check_options_of_parts(**options: Any) -> None:
    used = [name for name, value in options.items() if value is not None]
    if used:
        raise UserError(
            f"{used[0]} is not an option of a detector made of parts",
            rule=f"{', '.join(options)} apply only to a DarknetModel",
            fix=f"leave out {used[0]}, or as_parts",
        )


def export_darknet(
    model: keras.Model, cfg: str | Path, weights: str | Path, image_size: ImageSize | None = None
) -> None:
    """Write a model as Darknet cfg and weights files.

    For an unchanged `DarknetModel`, the files are identical to those it was imported from.

    Args:
        model: A model from `import_darknet`, a `Detector` with an anchor-based head, or any
            functional Keras model with one image input whose layers exist in Darknet.
        cfg: Path of the cfg to write.
        weights: Path of the weights file to write.
        image_size: (height, width) in pixels, required if the model leaves it open.

    Raises:
        UserError: If the model has a layer that Darknet lacks (the message names it), or its image
            size is not known. No file is written then.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> model = vg.DarknetModel("[net]\\nwidth=32\\nheight=32\\n[conv]\\nfilters=8")
        >>> vg.export_darknet(model, folder / "small.cfg", folder / "small.weights")
        >>> (folder / "small.weights").stat().st_size  # 20 bytes of header, 32 float32 values
        148
    """
    if isinstance(model, DarknetModel):
        text, slots, header = model.cfg.text, model.slots, model.header
        if image_size is not None and tuple(image_size) != tuple(model.image_size):
            raise UserError(
                "the image size of an imported model is fixed",
                rule=f"{tuple(model.image_size)}",
                received=f"{tuple(image_size)}",
                fix=f"import_darknet(..., image_size={tuple(image_size)})",
            )
        arrays = [collect(slot, header.transposed) for slot in slots]
    else:
        traced = trace(model, image_size)
        text, header = traced.text, Header()
        arrays = parts.in_darknets_epsilon(traced)
    atomic_write(cfg, text)
    write_weights(weights, header, arrays)


def import_files(
    cfg: str | Path,
    weights: str | Path | None = None,
    output: str | Path | None = None,
    names: str | Path | None = None,
    as_parts: bool = False,
) -> Path:
    """Import a Darknet network and save it as a model file.

    Args:
        cfg: Path of the .cfg file.
        weights: Path of the .weights file.
        output: Path of the .keras file to write; by default the name of the cfg with this suffix,
            in the working directory.
        names: Path of a text file with one class name per line.
        as_parts: Whether to save a `Detector` made of parts; see `import_darknet`.

    Returns:
        The path of the file that was written.

    Raises:
        UserError: If `import_darknet` raises it, or the number of names is not that of the classes.
    """
    output = Path(output or Path(cfg).with_suffix(".keras").name)
    if output.suffix != ".keras":
        raise UserError(f"cannot save a model as {output}", rule="a name that ends in .keras")
    class_map = None if names is None else read_names(names)
    model = import_darknet(Path(cfg), weights, class_map=class_map, as_parts=as_parts)
    model.save(output)
    return output


def read_names(path: str | Path) -> tuple[str, ...]:
    """Read a file with one class name per line; blank lines at the end are ignored."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise UserError(
            f"there is no file of class names {path}",
            rule=f"a text file with one name per line, at most {MAX_BYTES:,} bytes",
        )
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return tuple(line.strip() for line in lines)
