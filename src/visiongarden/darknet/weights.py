"""Reading and writing of Darknet's .weights files.

A file consists of a header and the float32 arrays of all layers, in order and without names.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from visiongarden.darknet.build import Slot
from visiongarden.darknet.geometry import Step
from visiongarden.errors import ModelFileError
from visiongarden.storage import atomic_write, check_file


@dataclass(frozen=True)
class Header:
    """Header of a weights file.

    Attributes:
        version: Major, minor and revision number of the Darknet that wrote the file.
        seen: Number of images that the network was trained on.
    """

    version: tuple[int, int, int] = (0, 2, 5)
    seen: int = 0

    @property
    def size(self) -> int:
        """Return the size of the header in bytes. From version 0.2 on, `seen` has 64 bits."""
        return 12 + (8 if self._wide else 4)

    @property
    def _wide(self) -> bool:
        return self.version[0] * 10 + self.version[1] >= 2  # as in Darknet's parser

    @property
    def transposed(self) -> bool:
        """Return whether the matrices of [connected] layers are stored transposed."""
        return self.version[0] > 1000 or self.version[1] > 1000

    def to_bytes(self) -> bytes:
        """Return the header as the bytes of a file."""
        return struct.pack("<3iQ" if self._wide else "<3iI", *self.version, self.seen)


def read_weights(
    path: str | Path, steps: Sequence[Step], cutoff: int | None = None
) -> tuple[Header, np.ndarray]:
    """Read the header of a weights file, and map its values into memory.

    Args:
        path: Path of the .weights file.
        steps: The layers of the cfg.
        cutoff: Number of layers whose weights the file contains, if these are not all layers
            (74 for darknet53.conv.74).

    Returns:
        The header, and the values as a one-dimensional float32 array backed by the file.

    Raises:
        ModelFileError: If the file does not exist, has no valid header, or is not exactly as long
            as the cfg requires. The message names the layer, the array and the byte at which a
            short file ends.
    """
    path = Path(path)
    check_file(path, "weights file", (".weights",), ModelFileError)
    header = read_header(path)
    size = path.stat().st_size
    _check_length(path, steps[:cutoff], header.size, size, cutoff)
    count = (size - header.size) // 4
    if not count:
        return header, np.zeros(0, "<f4")
    return header, np.memmap(path, "<f4", "r", offset=header.size, shape=(count,))


def read_header(path: Path) -> Header:
    """Read the header of a weights file.

    Raises:
        ModelFileError: If the file does not begin with a plausible header.
    """
    with path.open("rb") as stream:
        data = stream.read(20)  # the size of the larger header
    if len(data) >= 12:
        major, minor, revision = struct.unpack("<3i", data[:12])
        is_valid = 0 <= major < 10_000 and 0 <= minor < 10_000
        header = Header((major, minor, revision))
        if is_valid and len(data) >= header.size:
            seen = int.from_bytes(data[12 : header.size], "little")
            return Header((major, minor, revision), seen)
    raise ModelFileError(
        f"{path} is not a Darknet weights file",
        rule="a header with a version, such as 0.2.5, and the number of training images",
        received=data[:12].hex(" ") or "an empty file",
        fix="pass the cfg first, then the weights",
    )


def _check_length(
    path: Path, steps: Sequence[Step], start: int, size: int, cutoff: int | None
) -> None:
    end = start
    for step in steps:
        for array in step.arrays:
            after = end + 4 * array.count
            if after > size:
                raise ModelFileError(
                    f"{path} ends at byte {size:,}, inside layer {step.index} "
                    f"[{step.kind}], {array.name}",
                    rule=f"{array.name} in bytes {end:,} to {after:,}, and "
                    f"{_expected(steps, start):,} bytes in all",
                    received=f"{size:,} bytes; {_expected(steps, start) - size:,} are missing",
                    fix=_short_fix(step),
                )
            end = after
    if end != size:
        raise ModelFileError(
            f"{path} continues after the last layer, from byte {end:,}",
            rule=f"{end:,} bytes for {steps[0].section.file}",
            received=f"{size:,} bytes; {size - end:,} too many",
            fix="use the cfg that the weights were trained with"
            if cutoff is None
            else f"use another cutoff than {cutoff}",
        )


def _expected(steps: Sequence[Step], start: int) -> int:
    return start + 4 * sum(array.count for step in steps for array in step.arrays)


def _short_fix(step: Step) -> str:
    return (
        "use the cfg that the weights were trained with, or copy the file again; if the file "
        f"contains only the first layers: cutoff={step.index}"
    )


def assign(slots: Sequence[Slot], values: np.ndarray, transposed: bool = False) -> None:
    """Assign the values of a weights file to the variables of a model.

    Args:
        slots: Where each array of the file belongs, in the order of the file.
        values: The values of the file. Slots beyond their end keep their values, as with a cutoff.
        transposed: Whether the matrices of [connected] layers are stored transposed.
    """
    start = 0
    for slot in slots:
        count = slot.array.count
        if start + count > len(values):
            return
        slot.variable.assign(_to_keras(slot, values[start : start + count], transposed))
        start += count


def _to_keras(slot: Slot, flat: np.ndarray, transposed: bool) -> np.ndarray:
    if transposed and slot.step.kind == "connected" and slot.array.name == "weights":
        return flat.reshape(slot.variable.shape)
    if slot.axes == (2, 3, 1, 0):
        # (filters, channels, rows, columns) becomes (rows, columns, channels, filters).
        # OpenCV transposes a matrix several times as fast as NumPy transposes the 4-D array.
        filters, channels, rows, columns = slot.view
        turned = cv2.transpose(flat.reshape(filters, -1)).reshape(channels, rows * columns, filters)
        return turned.swapaxes(0, 1).reshape(slot.variable.shape)
    return flat.reshape(slot.view).transpose(slot.axes).reshape(slot.variable.shape)


def collect(slot: Slot, transposed: bool = False) -> np.ndarray:
    """Return the values of a slot's variable as a flat float32 array in the order of the file."""
    value = np.asarray(keras.ops.convert_to_numpy(slot.variable.value), "<f4")
    if transposed and slot.step.kind == "connected" and slot.array.name == "weights":
        return value.reshape(-1)
    # The inverse of the permutation in `_to_keras`.
    value = value.reshape([slot.view[axis] for axis in slot.axes])
    return value.transpose(np.argsort(slot.axes)).reshape(-1)


def write_weights(path: str | Path, header: Header, arrays: Sequence[np.ndarray]) -> None:
    """Write a weights file atomically.

    Args:
        path: Path of the .weights file.
        header: The header of the file.
        arrays: The arrays of all layers, as `collect` returns them, in the order of the file.
    """

    def write(stream: Any) -> None:
        stream.write(header.to_bytes())
        for array in arrays:
            stream.write(array.tobytes())

    atomic_write(path, write)
