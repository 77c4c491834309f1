"""Parser of Darknet's cfg files. `geometry` interprets the sections that it returns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from visiongarden.darknet.section import Section
from visiongarden.errors import ModelFileError, nearest
from visiongarden.storage import check_file

MAX_BYTES = 2**20
"""Maximum size of a cfg in bytes; the largest official one has 31 kB."""

MAX_SECTIONS = 4096
"""Maximum number of sections; the largest official cfg has about 400."""

MAX_OPTIONS = 256
"""Maximum number of options in one section."""

ALIASES = {
    "avg": "avgpool",
    "conn": "connected",
    "conv": "convolutional",
    "deconv": "deconvolutional",
    "local_avg": "local_avgpool",
    "lrn": "normalization",
    "max": "maxpool",
    "network": "net",
    "reorg_old": "reorg",
    "silence": "empty",
    "soft": "softmax",
}
"""Canonical section types by the alternative spellings that Darknet accepts."""

_KINDS = (
    "activation avgpool batchnorm connected contrastive conv_lstm convolutional cost crnn crop "
    "deconvolutional detection dropout empty Gaussian_yolo gru history implicit iseg l2norm local "
    "local_avgpool logistic lstm maxpool net normalization region reorg reorg3d rnn route sam "
    "scale_channels shortcut softmax upsample yolo"
)
KINDS = frozenset(_KINDS.split())
"""All section types that Darknet knows."""


# `str.splitlines` also splits at form feeds and Unicode separators, which would shift line numbers.
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Cfg:
    """A parsed cfg.

    Attributes:
        net: The `[net]` section with the input size and training settings.
        layers: One section per layer, in order; `layers[i].index == i`.
        file: Name of the file, for messages.
        text: The complete, unchanged text.
        ignored: (line number, text) of stray lines that are not options. Darknet skips them too.
    """

    net: Section
    layers: tuple[Section, ...]
    file: str
    text: str = field(repr=False)
    ignored: tuple[tuple[int, str], ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        """Return the `[net]` section followed by the layers."""
        return (self.net, *self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Section]:
        return iter(self.layers)


def parse_cfg(path_or_text: str | Path, file: str | None = None) -> Cfg:
    """Parse a Darknet cfg.

    The parser is as tolerant as Darknet. It accepts comments after `#` and `;`, blank lines, spaces
    anywhere, CRLF line ends, a byte-order mark, stray lines without `=`, and duplicate options, of
    which the first is used.

    Args:
        path_or_text: A `Path` or a string without a line break is the path of a file; any other
            string is the text itself.
        file: Name for messages; by default the name of the file.

    Raises:
        ModelFileError: If the file does not exist, is larger than 1 MiB or is not text; or if it
            contains an unknown section type, an option before the first section, or a first section
            other than `[net]`. The message names the line.

    Example:
        >>> parse_cfg("[net]\\nwidth=32\\n[conv]\\nfilters=8").layers[0].integer("filters", 1)
        8
    """
    name, text = _read(path_or_text, file)
    sections, ignored = _sections(name, text)
    if not sections:
        raise ModelFileError(
            f"{name} contains no section",
            rule="a Darknet cfg: [net], then one section for each layer",
            received=f"{text.strip()!r:.60}",
        )
    if sections[0].kind != "net":
        raise sections[0].error(
            None, "the first section is not [net]", rule="a cfg begins with [net]"
        )
    if len(sections) == 1:
        raise sections[0].error(
            None, "no layer follows [net]", fix="add a section such as [convolutional]"
        )
    return Cfg(sections[0], tuple(sections[1:]), name, text, tuple(ignored))


def _read(path_or_text: str | Path, file: str | None) -> tuple[str, str]:
    if isinstance(path_or_text, str) and ("\n" in path_or_text or "\r" in path_or_text):
        if len(path_or_text) > MAX_BYTES:
            raise _too_large(file or "the cfg", len(path_or_text))
        return file or "the cfg", path_or_text
    path = Path(path_or_text)
    check_file(path, "cfg", (".cfg",), ModelFileError)
    name = file or path.name
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(name, path.stat().st_size)
    if b"\0" in data:  # most likely a weights file, given in place of the cfg
        raise ModelFileError(
            f"{name} is not text", rule="a Darknet cfg", fix="pass the cfg first, then the weights"
        )
    return name, data.decode("utf-8", errors="replace")


def _too_large(name: str, size: int) -> ModelFileError:
    return ModelFileError(
        f"{name} is too large for a cfg",
        rule=f"at most {MAX_BYTES:,} bytes",
        received=f"{size:,} bytes",
        fix="pass the cfg first, then the weights",
    )


def _sections(name: str, text: str) -> tuple[list[Section], list[tuple[int, str]]]:
    sections: list[Section] = []
    ignored: list[tuple[int, str]] = []
    options: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        line = raw.split("#")[0].split(";")[0].strip()
        if line.startswith("["):
            if len(sections) == MAX_SECTIONS:
                raise ModelFileError(
                    f"{name} line {number}: too many sections", rule=f"at most {MAX_SECTIONS}"
                )
            kind, options, lines = _kind(name, number, line), {}, {}
            sections.append(Section(kind, options, number, lines, len(sections) - 1, name))
        elif line:
            key, equals, value = line.partition("=")
            # Darknet removes spaces within an option's name too.
            key, value = "".join(key.split()), value.strip()
            if not equals or not key or not value:
                ignored.append((number, line[:200]))
            elif not sections:
                raise ModelFileError(
                    f"{name} line {number}: {key[:40]!r} appears before the first section",
                    rule="a cfg begins with [net]",
                    fix="put [net] above it",
                )
            elif len(options) == MAX_OPTIONS:
                raise sections[-1].error(None, "too many options", rule=f"at most {MAX_OPTIONS}")
            elif key not in options:  # Darknet uses the first of duplicate options.
                options[key], lines[key] = value, number
    return sections, ignored


def _kind(name: str, number: int, line: str) -> str:
    word = "".join(line.split()).partition("]")[0].removeprefix("[")
    kind = ALIASES.get(word, word)
    if kind not in KINDS:
        raise ModelFileError(
            f"{name} line {number}: unknown section type [{word[:40]}]",
            rule="a section type of Darknet",
            fix=nearest(word[:40], KINDS),
        )
    return kind
