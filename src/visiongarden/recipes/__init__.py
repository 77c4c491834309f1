"""Recipes: complete training runs as values, and functions that resolve, compare and run them."""

from visiongarden.recipes.compare import Difference, compare
from visiongarden.recipes.demo import demo
from visiongarden.recipes.diff import diff
from visiongarden.recipes.environment import environment
from visiongarden.recipes.recipe import Data, Model, Recipe
from visiongarden.recipes.resolve import resolve
from visiongarden.recipes.schema import schema
from visiongarden.recipes.show import show
from visiongarden.recipes.train import train

__all__ = [
    "Data",
    "Difference",
    "Model",
    "Recipe",
    "compare",
    "demo",
    "diff",
    "environment",
    "resolve",
    "schema",
    "show",
    "train",
]
