"""Command line: parses, calls one public function, prints."""

from visiongarden.cli.main import main

__all__ = ["main"]
