"""Command line of the scripts of this folder."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path


def script_options(description: str | None, **others: str) -> argparse.Namespace:
    """Return the options of a script, after the import that `--before` names.

    Args:
        description: Description of the script.
        others: Help of each further option, by its name.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", help="module to import first")
    for name, text in others.items():
        parser.add_argument(f"--{name}", help=text)
    options = parser.parse_args()
    if options.before:
        importlib.import_module(options.before)
    return options
