"""Read files of a folder, or of a zip or tar archive without unpacking it."""

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

MAX_MEMBERS = 5_000_000
"""Largest number of files in an archive that is opened."""

MAX_NAME, MAX_DEPTH = 4096, 64
"""Longest name of a file in an archive, in characters and folders. Each folder is indexed with its
full path, so that the memory for a deeply nested name grows with the square of its length."""

MAX_UNPACKED, MAX_RATIO = 256 * 2**10, 200
"""Text in an archive may be longer than `MAX_UNPACKED` bytes by at most `MAX_RATIO` times its
compressed size. Annotations are compressed to a fifth or a twentieth; only a decompression bomb is
compressed to a thousandth."""

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def place(path: str | Path) -> Place:
    """Return a path, or the root folder of a zip or tar archive.

    If an archive contains a single folder and nothing else, that folder is returned.

    Raises:
        DataError: the archive is damaged, or is a compressed tar, which has no random access.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        return path
    if name.endswith(_PACKED):
        raise DataError(
            f"{path}: a compressed tar archive cannot be read without unpacking it",
            rule="a folder, a .zip archive, or a .tar archive without compression",
            fix=f"unpack it, or: gzip -d {path}" if name.endswith((".gz", ".tgz")) else "unpack it",
        )
    if not name.endswith((".zip", ".tar")):
        return path
    root = Member(path, "")
    inside = list(root.iterdir())
    # Archives made on macOS contain a folder of metadata beside the data.
    inside = [item for item in inside if item.name not in ("__MACOSX", ".DS_Store")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else root


@dataclass(frozen=True, order=True)
class Member:
    """File or folder inside an archive, with the methods of `pathlib.Path` that the readers use.

    Attributes:
        archive: path of the archive.
        inner: path inside the archive, with `/`; "" is the root.
    """

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
        """Last component of the path."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """Suffix of the name with its dot; "" for the root."""
        return self._pure.suffix if self.inner else ""

    @property
    def parent(self) -> Member:
        """The folder that contains this file or folder."""
        return Member(self.archive, posixpath.dirname(self.inner))

    @property
    def parts(self) -> tuple[str, ...]:
        """Components of the path from the archive's root."""
        return PurePosixPath(self.inner).parts

    def with_parts(self, parts: list[str]) -> Member:
        """Return the member of the same archive with this path."""
        return Member(self.archive, posixpath.join(*parts))

    def with_suffix(self, suffix: str) -> Member:
        """Return the member with another suffix."""
        return Member(self.archive, str(self._pure.with_suffix(suffix)))

    def is_file(self) -> bool:
        """Return whether the archive contains this file."""
        return self.inner in _index(self.archive).sizes

    def is_dir(self) -> bool:
        """Return whether the archive contains this folder."""
        return self.inner in _index(self.archive).folders

    def exists(self) -> bool:
        """Return whether the archive contains this file or folder."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator[Member]:
        """Yield the files and folders of this folder in order of their names."""
        for name in sorted(_index(self.archive).folders.get(self.inner, ())):
            yield self / name

    def glob(self, pattern: str) -> Iterator[Member]:
        """Yield the files and folders that match a pattern such as `*.txt` or `*/labels/*.txt`."""
        first, _, rest = pattern.partition("/")
        for item in self.iterdir():
            if fnmatch.fnmatchcase(item.name, first):
                if rest:
                    yield from item.glob(rest)
                else:
                    yield item

    def rglob(self, pattern: str) -> Iterator[Member]:
        """Yield the files and folders at any depth that match a pattern."""
        for item in self.iterdir():
            if fnmatch.fnmatchcase(item.name, pattern):
                yield item
            if item.is_dir():
                yield from item.rglob(pattern)

    def read(self, max_bytes: int) -> bytes:
        """Read the bytes of the file.

        Raises:
            DataError: the file does not exist, is larger than `max_bytes` bytes, or is damaged.
        """
        return _index(self.archive).read(self, max_bytes)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Read a text file of at most 512 MB, as `Path.read_text` does.

        Args:
            encoding: Name of the encoding; None: UTF-8.
            errors: What to do with bytes that are no text, as in `bytes.decode`; None: "strict".

        Raises:
            DataError: the file does not exist, is too large, or is damaged.
        """
        return self.read(512 * 2**20).decode(encoding or "utf-8", errors or "strict")


Place: TypeAlias = Path | Member
"""A path of the file system or inside an archive."""


def read_bytes(file: Place, max_bytes: int) -> bytes:
    """Read the bytes of a file.

    Args:
        file: a path, a member of an archive, or a record.
        max_bytes: largest size that is read, in bytes.

    Raises:
        DataError: the file does not exist or is larger than `max_bytes` bytes.
    """
    if not isinstance(file, Path):
        return file.read(max_bytes)
    number = _open(file)
    try:
        size = os.fstat(number).st_size
        if size > max_bytes:
            raise DataError(f"{file}: the file is larger than {max_bytes:,} bytes")
        parts = [os.read(number, size + 1)]
        # `os.read` may return fewer bytes than requested (on Linux at most 2 GiB).
        while parts[-1] and sum(map(len, parts)) < size:
            parts.append(os.read(number, size))
    finally:
        os.close(number)
    return b"".join(parts)


def read_text_bytes(file: Place, max_bytes: int) -> bytes:
    """Read the bytes of a text file, refusing decompression bombs in an archive.

    Args:
        file: a path, a member of an archive, or a record.
        max_bytes: largest size that is read, in bytes.

    Raises:
        DataError: the file does not exist, is larger than `max_bytes` bytes, or is compressed more
            than text can be.
    """
    if isinstance(file, Member):
        _index(file.archive).refuse_bomb(file)
    return read_bytes(file, max_bytes)


def read_ends(file: Path, first: int, last: int = 0) -> tuple[bytes, bytes]:
    """Read the first and the last bytes of a file.

    Args:
        file: the file.
        first: number of bytes at its start.
        last: number of bytes at its end; 0 returns `b""` for them.

    Raises:
        DataError: the file does not exist.
    """
    number = _open(file)
    try:
        start = os.read(number, first)
        size = os.fstat(number).st_size if last else 0
        return start, os.pread(number, last, max(size - last, 0)) if last else b""
    finally:
        os.close(number)


def _open(file: Path) -> int:
    """Return a descriptor of a regular file, in a third of the time that `open` takes."""
    try:
        # O_NONBLOCK: opening a pipe blocks until another process writes into it.
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(f"{file}: there is no such file") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DataError(f"{file}: there is no such file")
    return number


class _Archive:
    """Index of an archive.

    Attributes:
        sizes: size of each file in bytes.
        folders: names in each folder; "" is the root.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        self.folders: dict[str, set[str]] = {"": set()}

    def add(self, name: str, size: int) -> str | None:
        """Add a file to the index and return its normalized name.

        A name that leads out of the archive is not added, and None is returned.
        """
        if len(name) > MAX_NAME or name.count("/") + name.count("\\") > MAX_DEPTH:
            raise DataError(
                f"{self.path}: a name in the archive is too long",
                rule=f"at most {MAX_NAME} characters and {MAX_DEPTH} folders deep",
                received=f"{name!r:.80}",
            )
        inner = posixpath.normpath(name.replace("\\", "/"))
        if inner.startswith(("/", "..")) or inner == "." or "\0" in inner:
            return None
        if len(self.sizes) >= MAX_MEMBERS:
            raise DataError(f"{self.path}: the archive has more than {MAX_MEMBERS:,} files")
        self.sizes[inner] = size
        while inner:
            folder, _, last = inner.rpartition("/")
            names = self.folders.setdefault(folder, set())
            if last in names:
                break
            names.add(last)
            inner = folder
        return posixpath.normpath(name.replace("\\", "/"))

    def size_of(self, member: Member, max_bytes: int) -> int:
        if member.inner not in self.sizes:
            raise DataError(f"{member}: there is no such file")
        if self.sizes[member.inner] > max_bytes:
            raise DataError(f"{member}: the file is larger than {max_bytes:,} bytes")
        return self.sizes[member.inner]

    def refuse_bomb(self, member: Member) -> None:
        """Refuse a text file that is compressed more than text can be; tar files never are."""

    def read(self, member: Member, max_bytes: int) -> bytes:
        raise NotImplementedError


class _Zip(_Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.file = zipfile.ZipFile(path)
        self.infos = {
            inner: info
            for info in self.file.infolist()
            # `is_dir` reads the last character of the name and fails on an empty one.
            if info.filename
            and not info.is_dir()
            and (inner := self.add(info.filename, info.file_size))
        }

    def refuse_bomb(self, member: Member) -> None:
        info = self.infos.get(member.inner)
        if info is not None and info.file_size > MAX_UNPACKED + MAX_RATIO * info.compress_size:
            raise DataError(
                f"{member}: {info.compress_size:,} bytes unpack to {info.file_size:,} bytes",
                rule=f"text of at most {MAX_RATIO} times its compressed size",
                fix="unpack the archive if you trust it, and use the folder",
            )

    def read(self, member: Member, max_bytes: int) -> bytes:
        size = self.size_of(member, max_bytes)
        try:
            with self.file.open(self.infos[member.inner]) as stream:
                # The size in the archive's directory may be wrong: one byte more shows it.
                raw = stream.read(size + 1)
        except Exception as error:  # zlib.error, BadZipFile, unsupported compression, …
            raise DataError(f"{member}: the file is damaged", received=str(error)) from error
        if len(raw) != size:
            raise DataError(
                f"{member}: the size of the file is not the {size:,} bytes listed in the archive"
            )
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

    def read(self, member: Member, max_bytes: int) -> bytes:
        size = self.size_of(member, max_bytes)
        # `pread` has no file position, which the threads would share.
        raw = os.pread(self.number, size, self.starts[member.inner])
        if len(raw) != size:
            raise DataError(f"{member}: the archive is truncated", fix="copy the archive again")
        return raw


def _index(path: Path) -> _Archive:
    try:
        return _opened(path, path.stat().st_mtime_ns, os.getpid())
    except DataError:
        raise
    except Exception as error:  # damaged files make zipfile and tarfile raise various errors
        raise DataError(f"{path}: the archive cannot be read", received=str(error)) from error


@functools.lru_cache(maxsize=8)
def _opened(path: Path, changed: int, process: int) -> _Archive:
    # The process id is part of the key because forked processes share the position in a file that
    # was opened before the fork.
    return _Zip(path) if path.name.lower().endswith(".zip") else _Tar(path)
