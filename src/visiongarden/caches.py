"""`cache_folder`: the folder of files that only save time, such as labels of large datasets.

The environment variable `VISIONGARDEN_CACHE` names the folder; "off" disables all caches.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "VISIONGARDEN_CACHE"


def cache_folder(kind: str) -> Path | None:
    """Return the folder of one kind of cached files, or None if caches are disabled.

    By default it is below `$XDG_CACHE_HOME/visiongarden`, or `~/.cache/visiongarden`.

    Args:
        kind: Name of the folder, such as "indexes".

    Example:
        >>> cache_folder("indexes")  # doctest: +SKIP
        PosixPath('/home/me/.cache/visiongarden/indexes')
    """
    setting = os.environ.get(VARIABLE, "")
    if setting.lower() == "off":
        return None
    if setting:
        return Path(setting) / kind
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "visiongarden" / kind
