"""Command line: each command parses options, calls one public function and prints the result."""

from visiongarden.cli.entry import main

__all__ = ["main"]
