"""Scaffold: code, test and recipe for a new layer, block, part or project, from templates."""

from visiongarden.scaffold.new import KINDS, Created, new

__all__ = ["KINDS", "Created", "new"]
