"""Components for visiongarden; importing the package registers all of them."""

from acme_vision.backbones import PoolFormer, PoolMixer
from acme_vision.grading import (
    Grading,
    GradingDecoding,
    GradingLoss,
    GradingTask,
    QuadraticKappa,
)
from acme_vision.losses import Asymmetric
from acme_vision.readers import BoxLines
from acme_vision.transforms import Vignette

__all__ = [
    "Asymmetric",
    "BoxLines",
    "Grading",
    "GradingDecoding",
    "GradingLoss",
    "GradingTask",
    "PoolFormer",
    "PoolMixer",
    "QuadraticKappa",
    "Vignette",
]
