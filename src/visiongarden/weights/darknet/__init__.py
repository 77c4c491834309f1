"""Darknet in and out: cfg and weights files."""

from visiongarden.weights.darknet.cfg import Cfg, parse_cfg
from visiongarden.weights.darknet.section import Section

__all__ = ["Cfg", "Section", "parse_cfg"]
