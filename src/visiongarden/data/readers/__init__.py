"""Readers of dataset formats, one class and one file each, and `read`, which uses them.

All modules of this package are imported here, so that the readers in them are registered: a new
reader is one file, and no list of readers exists anywhere.
"""

import importlib
import pkgutil

from visiongarden.data.readers.choosing import opened
from visiongarden.data.readers.division import splits_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.reading import gather, read
from visiongarden.data.readers.source import from_source

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Reader", "Source", "from_source", "gather", "opened", "read", "splits_of"]
