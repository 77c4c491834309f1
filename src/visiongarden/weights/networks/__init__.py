"""Networks of sources, run on images to prove a transfer: one module per runtime."""

from visiongarden.weights.networks.network import Network, Shape
from visiongarden.weights.networks.open import network_of

__all__ = ["Network", "Shape", "network_of"]
