"""Detect damaged image files, of which OpenCV would decode a part and leave the rest gray."""

from __future__ import annotations

import struct
from typing import Any

from visiongarden.errors import DataError
from visiongarden.storage.header import jpeg_segments


def refuse_damaged(raw: bytes, path: Any) -> None:
    """Refuse the bytes of a truncated JPEG or PNG file, or of a PNG file with a false length.

    Raises:
        DataError: the file is damaged.
    """
    if is_truncated(raw):
        raise DataError(f"{path}: the image is truncated", fix="copy the file again")
    _refuse_broken_chunks(raw, path)


def is_truncated(raw: bytes) -> bool:
    """Return whether the end of a JPEG or PNG file is missing."""
    # OpenCV silently fills the missing part with gray, so this is checked before decoding.
    if raw.startswith(b"\xff\xd8"):
        # The last scan starts before the end marker; a thumbnail's own end marker comes earlier.
        end = raw.rfind(b"\xff\xd9")
        return end < raw.rfind(b"\xff\xda") or _ends_in_zeros(raw, end)
    return raw.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in raw[-4096:]


_ZEROS = bytes(64)


def _ends_in_zeros(raw: bytes, end: int) -> bool:
    """Return whether a JPEG ends in zeros, which an interrupted copy leaves in place of its data.

    A Huffman code of zero bits is the first symbol of its table (ITU-T T.81, annex C). If that
    symbol ends the block in every AC table, zeros may encode a plain surface. If it does not, zeros
    encode blocks full of coefficients, which no encoder repeats that often.
    """
    if raw[max(end - len(_ZEROS), 0) : end] != _ZEROS:
        return False
    full = False
    for kind, start, length in jpeg_segments(raw):
        if kind == 0xDA:
            break
        if kind == 0xC2 or length < 0:  # progressive: tables may follow between its scans
            return False
        table, last = start, min(start + length, len(raw))
        while kind == 0xC4 and table + 18 <= last:
            full |= raw[table] >> 4 == 1 and raw[table + 17] & 0x0F != 0
            table += 17 + sum(raw[table + 1 : table + 17])
    return full


def _refuse_broken_chunks(raw: bytes, path: Any) -> None:
    """Refuse a PNG file with a chunk that claims to be longer than the file.

    OpenCV allocates the length that a chunk claims, up to 4 GB, before it reads the chunk.

    Raises:
        DataError: a chunk ends after the file.
    """
    at = 8  # after the signature; a chunk has 4 bytes each of length, type and checksum
    while raw.startswith(b"\x89PNG") and at + 12 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        at += 12 + length
        if at > len(raw):
            raise DataError(
                f"{path}: the image is damaged at byte {at - 12 - length}",
                rule="each chunk of a PNG ends within the file",
                received=f"a chunk of {length:,} bytes in a file of {len(raw):,}",
                fix="copy the file again",
            )


def lacks_scans(raw: bytes) -> bool:
    """Return whether a progressive JPEG ends before all bits of its coefficients are transmitted.

    Each scan transmits the coefficients `first` to `last` of some components, down to bit `low`
    (ITU-T T.81, section G.1.1). A component is complete when bit 0 of all 64 coefficients has been
    sent.
    """
    complete: dict[int, int] = {}
    for marker, start, length in jpeg_segments(raw):
        body = raw[start : start + length]
        if marker == 0xC2 and len(body) >= 6:
            complete = dict.fromkeys(body[6::3][: body[5]], 0)
        elif marker == 0xDA:
            if not complete or not body or len(body) < 4 + 2 * body[0]:
                return False  # not progressive, or malformed, which the decoder reports
            first, last, bits = body[-3:]
            sent = 0 if bits & 0x0F else max((2 << last) - (1 << first), 0)
            for component in body[1 : 1 + 2 * body[0] : 2]:
                complete[component] = complete.get(component, 0) | sent
    return any(bits != (1 << 64) - 1 for bits in complete.values())
