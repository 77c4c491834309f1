"""Training: `fit` and its settings, checkpoints, exact places to resume from, progress."""

from visiongarden.training.fit import fit, lower_rate
from visiongarden.training.settings import Training
from visiongarden.training.state import FILE, DataChangedError
from visiongarden.training.twins import check_sizes

__all__ = [
    "FILE",
    "DataChangedError",
    "Training",
    "check_sizes",
    "fit",
    "lower_rate",
]
