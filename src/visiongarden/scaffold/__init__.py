"""Templates that create code, a test and a recipe for a new layer, block, part or project."""

from visiongarden.scaffold.creation import CREATED, Created, new

__all__ = ["CREATED", "Created", "new"]
