"""Damaged copies of files."""

from __future__ import annotations

from hypothesis import strategies as st


def damaged(data, path, folder):
    """A copy of a file with a byte changed or its end cut off, as hypothesis draws it."""
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        del raw[place:]
    else:
        raw[place] ^= data.draw(st.integers(1, 255))
    copy = folder / path.name
    copy.write_bytes(bytes(raw))
    return copy
