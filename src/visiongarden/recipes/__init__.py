"""Recipes: complete runs as values, and what carries them out."""

from visiongarden.recipes.demo import demo
from visiongarden.recipes.diff import diff
from visiongarden.recipes.recipe import Data, Model, Recipe
from visiongarden.recipes.resolve import resolve
from visiongarden.recipes.show import show
from visiongarden.recipes.train import train

__all__ = ["Data", "Model", "Recipe", "demo", "diff", "resolve", "show", "train"]
