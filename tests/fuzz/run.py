"""`fuzz`: read mutated files with every reader, in this process."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.guard import Guard
from tests.fuzz.mutate import mutated
from tests.fuzz.readers import Reader, all_readers


@dataclass(frozen=True)
class Failure:
    """What a reader did with a changed file that no file may make it do."""

    reader: str
    seed: int
    what: str
    file: str


def fuzz(
    scratch: Path,
    count: int,
    names: Sequence[str] = (),
    seed: int = 0,
    seconds: float = float("inf"),
    keep: Path | None = None,
    torch: bool = False,
) -> tuple[Counter[str], list[Failure]]:
    """Read `count` changed files, the readers in turn, until `seconds` are over.

    Args:
        scratch: an empty folder for everything that is written.
        count: of all readers together.
        names: of the readers; all without any.
        seed: of the first file; file i depends on `seed + i` alone.
        seconds: after which no file is begun.
        keep: where files that fail are copied to, one for each kind of failure.
        torch: whether PyTorch's files are among them, whose import takes seconds.

    Returns:
        How many files each reader read, and the failures.
    """
    (scratch / "made").mkdir()
    readers = all_readers(scratch / "made", torch)
    readers = {name: readers[name] for name in names} if names else readers
    guard = Guard(scratch)
    (scratch / "temporary").mkdir()
    failures: list[Failure] = []
    counted: Counter[str] = Counter()
    with _temporary_files_in(scratch / "temporary"):
        for reader in readers.values():  # imports what it needs; a valid file is accepted
            _lay_out(scratch / "files", reader.files)
            reader.read(scratch / "files")
        end = time.monotonic() + seconds
        order = list(readers.items())
        for number in range(count):
            if time.monotonic() > end:
                break
            name, reader = order[number % len(order)]
            target = _change(scratch / "files", reader, seed + number)
            counted[name] += 1
            what = guard.run(lambda reader=reader: reader.read(scratch / "files"))
            if what is not None:
                if keep is not None:
                    _keep(keep, scratch / "files", name, what)
                failures.append(Failure(name, seed + number, what, target))
    return counted, failures


def _change(folder: Path, reader: Reader, seed: int) -> str:
    source = random.Random(seed)
    target = source.choice(reader.targets)
    _lay_out(folder, reader.files | {target: mutated(reader.files[target], target, source)})
    return target


def _lay_out(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, raw in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


def _keep(keep: Path, files: Path, name: str, what: str) -> None:
    kind = "".join(c if c.isalnum() else "_" for c in what.partition(": ")[0])[:80]
    if not (keep / f"{name}-{kind}").exists():
        shutil.copytree(files, keep / f"{name}-{kind}")


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
