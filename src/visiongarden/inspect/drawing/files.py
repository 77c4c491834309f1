"""Style sheets and the script of the drawing."""

from __future__ import annotations

from importlib.resources import files


def read_file(name: str) -> str:
    """Return the text of a file beside this module."""
    return files("visiongarden.inspect.drawing").joinpath(name).read_text(encoding="utf-8")
