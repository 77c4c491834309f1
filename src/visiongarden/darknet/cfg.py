"""Darknet's cfg files: text -> sections. What a section means is said by the layers' files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from visiongarden.darknet.section import Section
from visiongarden.errors import ModelFileError, nearest

MOST_BYTES = 2**20
"""Largest cfg that is read; the largest official one has 31 kB."""

MOST_SECTIONS = 4096
"""Most sections that are read; the largest official cfg has some four hundred."""

MOST_OPTIONS = 256
"""Most options of one section."""

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
"""Other spellings that Darknet knows -> the canonical kind."""

_KINDS = (
    "activation avgpool batchnorm connected contrastive conv_lstm convolutional cost crnn crop "
    "deconvolutional detection dropout empty Gaussian_yolo gru history implicit iseg l2norm local "
    "local_avgpool logistic lstm maxpool net normalization region reorg reorg3d rnn route sam "
    "scale_channels shortcut softmax upsample yolo"
)
KINDS = frozenset(_KINDS.split())
"""Every kind of section that Darknet knows."""


_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Cfg:
    """A parsed cfg.

    Attributes:
        net: the `[net]` section: input size and training.
        layers: one section a layer, in order; `layers[i].index == i`.
        file: name of the file, for messages.
        text: the whole text, as it was read.
        ignored: (line, text) of stray lines that are no option; Darknet skips them too.
    """

    net: Section
    layers: tuple[Section, ...]
    file: str
    text: str = field(repr=False)
    ignored: tuple[tuple[int, str], ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        """`[net]` and the layers."""
        return (self.net, *self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Section]:
        return iter(self.layers)


def parse_cfg(path_or_text: str | Path, file: str | None = None) -> Cfg:
    """Reads a Darknet cfg.

    As tolerant as Darknet: comments after `#` and `;`, blank lines, spaces anywhere, CRLF, a
    byte-order mark, stray lines without `=`, an option twice (the first counts).

    Args:
        path_or_text: a `Path`, or a string without a line break, is a file; other strings are the
            text itself.
        file: name for messages; by default the file's.

    Raises:
        ModelFileError: no such file, larger than 1 MiB, not text, an unknown kind of section, an
            option before the first section, or a first section that is not `[net]`; names the line.

    Example:
        >>> parse_cfg("[net]\\nwidth=32\\n[conv]\\nfilters=8").layers[0].integer("filters", 1)
        8
    """
    name, text = _read(path_or_text, file)
    sections, ignored = _sections(name, text)
    if not sections:
        raise ModelFileError(
            f"{name} holds no section",
            rule="a Darknet cfg: [net], then one section a layer",
            received=f"{text.strip()!r:.60}",
        )
    if sections[0].kind != "net":
        raise sections[0].fault(
            None, "the first section is not [net]", rule="a cfg begins with [net]"
        )
    if len(sections) == 1:
        raise sections[0].fault(None, "no layer follows [net]", fix="add [convolutional] ...")
    return Cfg(sections[0], tuple(sections[1:]), name, text, tuple(ignored))


def _read(path_or_text: str | Path, file: str | None) -> tuple[str, str]:
    if isinstance(path_or_text, str) and ("\n" in path_or_text or "\r" in path_or_text):
        if len(path_or_text) > MOST_BYTES:
            raise _too_large(file or "the cfg", len(path_or_text))
        return file or "the cfg", path_or_text
    path = Path(path_or_text)
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise ModelFileError(f"there is no cfg {str(path)[:200]!r}", fix="check the path")
    name = file or path.name
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _too_large(name, path.stat().st_size)
    if b"\0" in data:
        raise ModelFileError(
            f"{name} is not text", rule="a Darknet cfg", fix="the cfg comes before the weights"
        )
    return name, data.decode("utf-8", errors="replace")


def _too_large(name: str, size: int) -> ModelFileError:
    return ModelFileError(
        f"{name} is too large for a cfg",
        rule=f"at most {MOST_BYTES:,} bytes",
        received=f"{size:,} bytes",
        fix="the cfg comes before the weights",
    )


def _sections(name: str, text: str) -> tuple[list[Section], list[tuple[int, str]]]:
    sections: list[Section] = []
    ignored: list[tuple[int, str]] = []
    options: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        line = raw.split("#")[0].split(";")[0].strip()
        if line.startswith("["):
            if len(sections) == MOST_SECTIONS:
                raise ModelFileError(
                    f"{name} line {number}: too many sections", rule=f"at most {MOST_SECTIONS}"
                )
            kind, options, lines = _kind(name, number, line), {}, {}
            sections.append(Section(kind, options, number, lines, len(sections) - 1, name))
        elif line:
            key, equals, value = line.partition("=")
            key, value = "".join(key.split()), value.strip()
            if not equals or not key or not value:
                ignored.append((number, line[:200]))
            elif not sections:
                raise ModelFileError(
                    f"{name} line {number}: {key[:40]!r} stands before the first section",
                    rule="a cfg begins with [net]",
                    fix="put [net] above it",
                )
            elif len(options) == MOST_OPTIONS:
                raise sections[-1].fault(None, "too many options", rule=f"at most {MOST_OPTIONS}")
            elif key not in options:
                options[key], lines[key] = value, number
    return sections, ignored


def _kind(name: str, number: int, line: str) -> str:
    word = "".join(line.split()).partition("]")[0].removeprefix("[")
    kind = ALIASES.get(word, word)
    if kind not in KINDS:
        raise ModelFileError(
            f"{name} line {number}: unknown kind of section [{word[:40]}]",
            rule="a kind of layer that Darknet knows",
            fix=nearest(word[:40], KINDS),
        )
    return kind
