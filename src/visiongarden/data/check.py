"""`check`: looks at every image, so that training does not meet a broken one in its third hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import cut_short
from visiongarden.data.faults import Finding, refuse
from visiongarden.data.header import MOST_BYTES
from visiongarden.data.place import read_bytes, read_ends
from visiongarden.errors import DataError

DECODED = 20_000
"""Splits of more images than this are looked at without decoding them."""

_TAIL = 4096


def check(dataset: DetectionDataset) -> None:
    """Looks at every image of a data set: decodes each, or, of a large set, looks at its end.

    Of a set of more than `DECODED` images the ends alone are read, which shows files that were cut
    short in a thousandth of the time; what is broken inside stops training where it is met, with
    the same message. `visiongarden data check` decodes all of them.

    Raises:
        DataError: one report that names each image that is missing, cut short or not decodable.
    """
    large = len(dataset) > DECODED
    if large and not isinstance(dataset[0].path, Path):
        return  # an archive or a shard that is cut short does not open

    def fault_of(index: int) -> DataError | None:
        try:
            if large:
                _look_at_end(dataset[index].path)
            else:
                dataset.load(index)
        except DataError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as pool:
        found = [error for error in pool.map(fault_of, range(len(dataset))) if error]
    refuse(dataset.root, [Finding("error", "image", "", error.what) for error in found])


def _look_at_end(path: Any) -> None:
    first, last = read_ends(path, 4, _TAIL)
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
    mark = ends.get(first[:2])
    if mark is not None and mark not in last and cut_short(read_bytes(path, MOST_BYTES)):
        raise DataError(f"{path}: the image is cut short", fix="copy the file again")
