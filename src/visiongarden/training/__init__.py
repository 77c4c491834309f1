"""Train models: `fit`, its settings, checkpoints, exact resumption and progress display."""

from visiongarden.training.building import (
    check_callbacks,
    check_optimizer,
    check_restored_weights,
    lower_rate,
    make_callbacks,
)
from visiongarden.training.fitting import fit
from visiongarden.training.monitors import check_monitors
from visiongarden.training.schedules import WarmupCosine
from visiongarden.training.settings import Training
from visiongarden.training.size_variants import check_sizes
from visiongarden.training.stages import check_layers
from visiongarden.training.state import FILE, DataChangedError
from visiongarden.training.vector_optimizers import VectorAdamW, VectorOptimizer, VectorSGD

__all__ = [
    "FILE",
    "DataChangedError",
    "Training",
    "VectorAdamW",
    "VectorOptimizer",
    "VectorSGD",
    "WarmupCosine",
    "check_callbacks",
    "check_layers",
    "check_monitors",
    "check_optimizer",
    "check_restored_weights",
    "check_sizes",
    "fit",
    "lower_rate",
    "make_callbacks",
]
