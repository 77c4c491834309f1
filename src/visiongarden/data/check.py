"""`check`: decodes every image, so that training does not meet a broken one in its third hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.errors import DataError


def check(dataset: DetectionDataset) -> None:
    """Decodes every image of a data set.

    Raises:
        DataError: one report that names each image that cannot be decoded or is cut short.
    """
    faults = Faults(dataset.root)

    def fault_of(index: int) -> str | None:
        try:
            dataset.load(index)
        except DataError as error:
            return error.what
        return None

    with ThreadPoolExecutor(4) as pool:
        faults.lines += [line for line in pool.map(fault_of, range(len(dataset))) if line]
    faults.raise_if_any()
