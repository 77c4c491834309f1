"""`check`: looks at every image, so that training does not meet a broken one in its third hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import cut_short
from visiongarden.data.faults import Finding, refuse
from visiongarden.data.header import MOST_BYTES
from visiongarden.data.place import read_bytes, read_ends
from visiongarden.data.table import Table
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
    if len(dataset) > DECODED:
        errors = _ends(dataset)
    else:
        with ThreadPoolExecutor(4) as pool:
            errors = [e for e in pool.map(lambda i: _decoded(dataset, i), range(len(dataset))) if e]
    refuse(dataset.root, [Finding("error", "image", "", error.what) for error in errors])


def _decoded(dataset: DetectionDataset, index: int) -> DataError | None:
    try:
        dataset.load(index)
    except DataError as error:
        return error
    return None


def _ends(dataset: DetectionDataset) -> list[DataError]:
    found = []
    examples = dataset.examples
    names = examples.names if isinstance(examples, Table) and examples.located is Path else ()
    # An archive or a shard that is cut short does not open.
    for name in names:
        try:
            _look_at_end(Path(name))
        except DataError as error:
            found.append(error)
    return found


def _look_at_end(path: Path) -> None:
    first, last = read_ends(path, 4, _TAIL)
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
    mark = ends.get(first[:2])
    if mark is not None and mark not in last and cut_short(read_bytes(path, MOST_BYTES)):
        raise DataError(f"{path}: the image is cut short", fix="copy the file again")
