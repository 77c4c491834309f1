"""Training: `fit` and its settings, checkpoints, exact places to resume from, progress."""

from visiongarden.training.fit import fit
from visiongarden.training.settings import Training

__all__ = ["Training", "fit"]
