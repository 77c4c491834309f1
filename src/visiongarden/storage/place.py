"""`Member`: a file or folder inside a zip or tar archive, which is read without unpacking it."""

from __future__ import annotations

import fnmatch
import functools
import os
import posixpath
import stat
import tarfile
import weakref
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from visiongarden.errors import DataError

MOST_MEMBERS = 5_000_000
"""Largest number of files in an archive."""

MAX_NAME, MAX_DEPTH = 4096, 64
"""Longest name of a file in an archive. Each folder of a name is entered with all names above it,
so that the memory for a deep one grows with the square of its length."""

MAX_UNPACKED, MAX_RATIO = 256 * 2**10, 200
"""Text in an archive is at most so long, or so many times its compressed length. Annotations shrink
to a fifth or a twentieth; only what is made for it shrinks to a thousandth."""

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def place(path: str | Path) -> Place:
    """The path; for a zip or tar archive the folder that it holds.

    An archive that holds one folder and nothing else stands for that folder.

    Raises:
        DataError: the archive is damaged, or of a kind that cannot be read from the middle.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        return path
    if name.endswith(_PACKED):
        raise DataError(
            f"{path}: a compressed tar has no place to jump to",
            rule="a .zip, or a .tar without compression, is read without unpacking",
            fix=f"unpack it, or: gzip -d {path}" if name.endswith((".gz", ".tgz")) else "unpack it",
        )
    if not name.endswith((".zip", ".tar")):
        return path
    root = Member(path, "")
    inside = list(root.iterdir())
    # Archives made on a Mac hold a folder of remarks beside the real one.
    inside = [item for item in inside if item.name not in ("__MACOSX", ".DS_Store")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else root


@dataclass(frozen=True, order=True)
class Member:
    """A file or folder of an archive, with as much of `pathlib.Path` as the readers use."""

    archive: Path
    inner: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.inner}" if self.inner else str(self.archive)

    def __truediv__(self, name: str) -> Member:
        joined = posixpath.normpath(posixpath.join(self.inner, str(name).replace("\\", "/")))
        return Member(self.archive, "" if joined == "." else joined)

    @property
    def _pure(self) -> PurePosixPath:
        return PurePosixPath(self.inner or self.archive.name)

    @property
    def name(self) -> str:
        """Last part of the name."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The name's ending, with its dot."""
        return self._pure.suffix if self.inner else ""

    @property
    def parent(self) -> Member:
        """The folder that it lies in."""
        return Member(self.archive, posixpath.dirname(self.inner))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names from the archive's root."""
        return PurePosixPath(self.inner).parts

    def with_parts(self, parts: list[str]) -> Member:
        """Another member of the same archive."""
        return Member(self.archive, posixpath.join(*parts))

    def with_suffix(self, suffix: str) -> Member:
        """The same name with another ending."""
        return Member(self.archive, str(self._pure.with_suffix(suffix)))

    def is_file(self) -> bool:
        """Whether the archive holds such a file."""
        return self.inner in _index(self.archive).sizes

    def is_dir(self) -> bool:
        """Whether the archive holds such a folder."""
        return self.inner in _index(self.archive).folders

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator[Member]:
        """Files and folders of a folder, in order of their names."""
        for name in sorted(_index(self.archive).folders.get(self.inner, ())):
            yield self / name

    def glob(self, pattern: str) -> Iterator[Member]:
        """Files and folders of this folder whose name fits a pattern such as `*.txt`."""
        return (item for item in self.iterdir() if fnmatch.fnmatchcase(item.name, pattern))

    def rglob(self, pattern: str) -> Iterator[Member]:
        """The same at any depth."""
        for item in self.iterdir():
            if fnmatch.fnmatchcase(item.name, pattern):
                yield item
            if item.is_dir():
                yield from item.rglob(pattern)

    def read(self, most: int) -> bytes:
        """The file's bytes.

        Raises:
            DataError: no such file, larger than `most` bytes, or damaged.
        """
        return _index(self.archive).read(self, most)


Place: TypeAlias = Path | Member
"""A path, or what stands for one inside an archive."""


def read_bytes(file: Place, most: int) -> bytes:
    """Bytes of a file.

    Args:
        file: a path, a member of an archive, a record.
        most: largest number of bytes that is read.

    Raises:
        DataError: no such file, or larger.
    """
    if not isinstance(file, Path):
        return file.read(most)
    number = _open(file)
    try:
        size = os.fstat(number).st_size
        if size > most:
            raise DataError(f"{file}: larger than {most:,} bytes")
        parts = [os.read(number, size + 1)]
        # The system may give less than was asked for.
        while parts[-1] and sum(map(len, parts)) < size:
            parts.append(os.read(number, size))
    finally:
        os.close(number)
    return b"".join(parts)


def read_text_bytes(file: Place, most: int) -> bytes:
    """Bytes of a text file; in an archive its length is bounded by its compressed length.

    Raises:
        DataError: no such file, or larger.
    """
    if isinstance(file, Member):
        _index(file.archive).refuse_bomb(file)
    return read_bytes(file, most)


def read_ends(file: Path, first: int, last: int = 0) -> tuple[bytes, bytes]:
    """The first and the last so many bytes of a file.

    Raises:
        DataError: no such file.
    """
    number = _open(file)
    try:
        start = os.read(number, first)
        size = os.fstat(number).st_size if last else 0
        return start, os.pread(number, last, max(size - last, 0)) if last else b""
    finally:
        os.close(number)


def _open(file: Path) -> int:
    """A file's descriptor: a hundred thousand files are opened in a third of `open`'s time."""
    try:
        # Without waiting: a pipe that nobody writes into would never open.
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(f"{file}: there is no such file") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DataError(f"{file}: there is no such file")
    return number


class _Archive:
    """What an archive holds: files with their sizes, folders with the names in them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        self.folders: dict[str, set[str]] = {"": set()}

    def add(self, name: str, size: int) -> str | None:
        """Enters a file; None for a name that leads out of the archive, which nothing can mean."""
        if len(name) > MAX_NAME or name.count("/") + name.count("\\") > MAX_DEPTH:
            raise DataError(
                f"{self.path}: a name in the archive is too long",
                rule=f"at most {MAX_NAME} characters and {MAX_DEPTH} folders deep",
                received=f"{name!r:.80}",
            )
        inner = posixpath.normpath(name.replace("\\", "/"))
        if inner.startswith(("/", "..")) or inner == "." or "\0" in inner:
            return None
        if len(self.sizes) >= MOST_MEMBERS:
            raise DataError(f"{self.path}: more than {MOST_MEMBERS:,} files")
        self.sizes[inner] = size
        while inner:
            folder, _, last = inner.rpartition("/")
            names = self.folders.setdefault(folder, set())
            if last in names:
                break
            names.add(last)
            inner = folder
        return posixpath.normpath(name.replace("\\", "/"))

    def size_of(self, member: Member, most: int) -> int:
        if member.inner not in self.sizes:
            raise DataError(f"{member}: there is no such file")
        if self.sizes[member.inner] > most:
            raise DataError(f"{member}: larger than {most:,} bytes")
        return self.sizes[member.inner]

    def refuse_bomb(self, member: Member) -> None:
        """Raises where a member's length has no relation to its compressed length."""

    def read(self, member: Member, most: int) -> bytes:
        raise NotImplementedError


class _Zip(_Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.file = zipfile.ZipFile(path)
        self.infos = {
            inner: info
            for info in self.file.infolist()
            # An entry without a name, which `is_dir` cannot ask for its last character.
            if info.filename
            and not info.is_dir()
            and (inner := self.add(info.filename, info.file_size))
        }

    def refuse_bomb(self, member: Member) -> None:
        info = self.infos.get(member.inner)
        if info is not None and info.file_size > MAX_UNPACKED + MAX_RATIO * info.compress_size:
            raise DataError(
                f"{member}: {info.compress_size:,} bytes unpack to {info.file_size:,}",
                rule=f"at most {MAX_RATIO} times as many",
                fix="unpack the archive if you trust it, and give the folder",
            )

    def read(self, member: Member, most: int) -> bytes:
        size = self.size_of(member, most)
        try:
            with self.file.open(self.infos[member.inner]) as stream:
                # What an archive says about its own sizes may be a lie.
                raw = stream.read(size + 1)
        except Exception as error:  # zlib.error, BadZipFile, a method that is not supported …
            raise DataError(f"{member}: damaged", received=str(error)) from error
        if len(raw) != size:
            raise DataError(f"{member}: not of the {size:,} bytes that the archive says")
        return raw


class _Tar(_Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.starts: dict[str, int] = {}
        with tarfile.open(path, "r:") as file:
            for info in file:
                if info.isfile() and not info.issparse():
                    inner = self.add(info.name, info.size)
                    if inner:
                        self.starts[inner] = info.offset_data
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.number)

    def read(self, member: Member, most: int) -> bytes:
        size = self.size_of(member, most)
        # At a place of its own: threads share the stream.
        raw = os.pread(self.number, size, self.starts[member.inner])
        if len(raw) != size:
            raise DataError(f"{member}: the archive is cut short", fix="copy the archive again")
        return raw


def _index(path: Path) -> _Archive:
    try:
        return _opened(path, path.stat().st_mtime_ns, os.getpid())
    except DataError:
        raise
    except Exception as error:  # zipfile and tarfile raise whatever damage makes them raise
        raise DataError(f"{path}: no archive that can be read", received=str(error)) from error


@functools.lru_cache(maxsize=8)
def _opened(path: Path, changed: int, process: int) -> _Archive:
    # Each process opens its own: a place in a file that was opened before a fork is shared.
    return _Zip(path) if path.name.lower().endswith(".zip") else _Tar(path)
