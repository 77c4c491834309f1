"""Train models: `fit`, its settings, checkpoints, exact resumption and progress display."""

from visiongarden.training.anchor_sizes import check_anchors
from visiongarden.training.building import (
    check_callbacks,
    check_optimizer,
    check_restored_weights,
    lower_rate,
    make_callbacks,
    make_optimizer,
)
from visiongarden.training.checkpoint_interval import CheckpointInterval
from visiongarden.training.checkpoints import has_checkpoint, newest_checkpoint
from visiongarden.training.devices import check_batch_size
from visiongarden.training.failures import MemoryShortError
from visiongarden.training.fitting import fit
from visiongarden.training.interrupt import Stopped
from visiongarden.training.loss_watch import DivergedError
from visiongarden.training.monitors import check_monitors
from visiongarden.training.precision import AUTO, choose_precision
from visiongarden.training.record import SKIPPED
from visiongarden.training.schedules import WarmupCosine
from visiongarden.training.settings import Training
from visiongarden.training.size_variants import check_sizes
from visiongarden.training.stages import check_layers
from visiongarden.training.state import DataChangedError, Progress, read_state, saved_progress
from visiongarden.training.together import check_agreement, of_first_process
from visiongarden.training.vector_optimizers import VectorAdamW, VectorOptimizer, VectorSGD

__all__ = [
    "AUTO",
    "SKIPPED",
    "CheckpointInterval",
    "DataChangedError",
    "DivergedError",
    "MemoryShortError",
    "Progress",
    "Stopped",
    "Training",
    "VectorAdamW",
    "VectorOptimizer",
    "VectorSGD",
    "WarmupCosine",
    "check_agreement",
    "check_anchors",
    "check_batch_size",
    "check_callbacks",
    "check_layers",
    "check_monitors",
    "check_optimizer",
    "check_restored_weights",
    "check_sizes",
    "choose_precision",
    "fit",
    "has_checkpoint",
    "lower_rate",
    "make_callbacks",
    "make_optimizer",
    "newest_checkpoint",
    "of_first_process",
    "read_state",
    "saved_progress",
]
