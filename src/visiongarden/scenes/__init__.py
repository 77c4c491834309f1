"""Generate small datasets with known labels."""

from visiongarden.scenes.scenes import make_mask_scenes, make_scenes

__all__ = ["make_mask_scenes", "make_scenes"]
