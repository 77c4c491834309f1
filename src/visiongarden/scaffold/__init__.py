"""Templates that create code, a test and a recipe for a new layer, block, part or project."""

from visiongarden.scaffold.creation import KINDS, Created, new

__all__ = ["KINDS", "Created", "new"]
