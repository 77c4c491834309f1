"""Train models: `fit`, its settings, checkpoints, exact resumption and progress display."""

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
