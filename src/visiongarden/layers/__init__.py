"""Basic layers, and `Composite`, the base class of every layer made of layers."""

from visiongarden.layers.activations import activation
from visiongarden.layers.batch_norm import BatchNorm
from visiongarden.layers.composite import Composite
from visiongarden.layers.conv_norm_act import ConvNormAct
from visiongarden.layers.convolution import Convolution
from visiongarden.layers.depthwise_norm_act import DepthwiseNormAct
from visiongarden.layers.fold import folding, is_folding
from visiongarden.layers.preprocess import Preprocess
from visiongarden.layers.resampling import MaxPooling, Upsampling
from visiongarden.layers.roi_align import RoIAlign
from visiongarden.layers.separable_norm_act import SeparableNormAct
from visiongarden.layers.squeeze_excite import SqueezeExcite
from visiongarden.layers.stochastic_depth import StochasticDepth
from visiongarden.layers.sum import Sum

__all__ = [
    "BatchNorm",
    "Composite",
    "ConvNormAct",
    "Convolution",
    "DepthwiseNormAct",
    "MaxPooling",
    "Preprocess",
    "RoIAlign",
    "SeparableNormAct",
    "SqueezeExcite",
    "StochasticDepth",
    "Sum",
    "Upsampling",
    "activation",
    "folding",
    "is_folding",
]
