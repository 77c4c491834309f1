"""Cards: the published facts of each architecture, and the check of a model against them."""

from visiongarden.cards.building import build
from visiongarden.cards.card import Card, Convention, Level, License, Result, Stage, Trained
from visiongarden.cards.library import find, load, merged, names
from visiongarden.cards.listing import Listing, models
from visiongarden.cards.verification import Check, Verification, verify, verify_all

__all__ = [
    "Card",
    "Check",
    "Convention",
    "Level",
    "License",
    "Listing",
    "Result",
    "Stage",
    "Trained",
    "Verification",
    "build",
    "find",
    "load",
    "merged",
    "models",
    "names",
    "verify",
    "verify_all",
]
