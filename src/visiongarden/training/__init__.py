"""Train models: `fit`, its settings, checkpoints, exact resumption and progress display."""

from visiongarden.training.fitting import fit, lower_rate
from visiongarden.training.settings import Training
from visiongarden.training.size_variants import check_sizes
from visiongarden.training.state import FILE, DataChangedError

__all__ = [
    "FILE",
    "DataChangedError",
    "Training",
    "check_sizes",
    "fit",
    "lower_rate",
]
