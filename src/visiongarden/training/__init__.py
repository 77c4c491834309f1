"""Training: `fit` and its settings, checkpoints, exact places to resume from, progress."""

from visiongarden.training.fit import fit
from visiongarden.training.settings import Training
from visiongarden.training.twins import check_sizes

__all__ = ["Training", "check_sizes", "fit"]
