"""Random access to the rows of Arrow and Parquet files, through pyarrow."""

from __future__ import annotations

import functools
import importlib
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.errors import DataError, UserError
from visiongarden.interchange.optional import imported_library
from visiongarden.storage import parse_json

_GROUPS = 4
"""Number of row groups of a Parquet file that are kept in memory."""


class ArrowRows(Sequence[Mapping[str, Any]]):
    """Rows of Arrow or Parquet files with equal columns.

    The columns of an Arrow file are mapped into memory and read when they are needed. Of a Parquet
    file, groups of rows are decompressed.

    Args:
        files: Paths of the files: IPC streams, IPC files or Parquet files.

    Raises:
        DataError: A file cannot be read.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.parts = [_opened(file) for file in files]
        self.starts = [0]
        for part in self.parts:
            self.starts.append(self.starts[-1] + part.count)

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, index: Any) -> Any:
        place = range(len(self))[index]
        number = bisect_right(self.starts, place) - 1
        return self.parts[number].row(place - self.starts[number])

    def column(self, name: str) -> list[Any]:
        """Return the values of a column of small values, such as labels."""
        return [value for part in self.parts for value in part.column(name)]

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.parts[0].schema.names) if self.parts else []

    @property
    def features(self) -> dict[str, Any]:
        """Description of the columns that the library `datasets` has stored; empty without it."""
        if not self.parts:
            return {}
        part = self.parts[0]
        text = (part.schema.metadata or {}).get(b"huggingface")
        data = parse_json(text, part.file) if text else {}
        info = data.get("info") if isinstance(data, Mapping) else None
        features = info.get("features") if isinstance(info, Mapping) else None
        return dict(features) if isinstance(features, Mapping) else {}


class _Arrow:
    """Rows of an Arrow file."""

    def __init__(self, file: Path) -> None:
        pa = imported_library("pyarrow", "reading Arrow files")
        self.file = file
        source = pa.memory_map(str(file))
        with file.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
        table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source).read_all()
        # Without the check, wrong offsets in a damaged file read memory of the process.
        table.validate(full=True)
        self.table, self.schema, self.count = table, table.schema, table.num_rows

    def row(self, index: int) -> Any:
        """Return one row."""
        return {name: self.table[name][index].as_py() for name in self.schema.names}

    def column(self, name: str) -> Any:
        """Return the values of a column."""
        return self.table[name].to_pylist()


class _Parquet:
    """Rows of a Parquet file."""

    def __init__(self, file: Path) -> None:
        imported_library("pyarrow", "reading Parquet files")
        parquet = importlib.import_module("pyarrow.parquet")
        self.file = file
        self.opened = parquet.ParquetFile(str(file))
        metadata = self.opened.metadata
        self.schema, self.count = self.opened.schema_arrow, metadata.num_rows
        self.starts = [0]
        for number in range(metadata.num_row_groups):
            self.starts.append(self.starts[-1] + metadata.row_group(number).num_rows)
        self.group = functools.lru_cache(_GROUPS)(self._group)
        # Threads share the file, whose reader is not safe for them; each would also decompress the
        # same group.
        self.lock = threading.Lock()

    def _group(self, number: int) -> Any:
        table = self.opened.read_row_group(number)
        table.validate(full=True)
        return table

    def row(self, index: int) -> Any:
        """Return one row."""
        number = bisect_right(self.starts, index) - 1
        with self.lock:
            table = self.group(number)
        place = index - self.starts[number]
        return {name: table[name][place].as_py() for name in self.schema.names}

    def column(self, name: str) -> Any:
        """Return the values of a column."""
        with self.lock:
            return self.opened.read(columns=[name])[name].to_pylist()


def _opened(file: Path) -> Any:
    if not file.is_file():
        raise DataError(f"{file}: there is no such file")
    try:
        return _Parquet(file) if file.suffix == ".parquet" else _Arrow(file)
    except UserError:
        raise
    except Exception as error:  # of pyarrow, for damaged files
        if isinstance(error, ValueError | OSError | MemoryError | NotImplementedError):
            raise DataError(
                f"{file}: the file is damaged, or not an Arrow or Parquet file",
                received=f"{error!s:.200}",
            ) from error
        raise
