"""Recipes: complete training runs as values, and functions that resolve, compare and run them."""

from visiongarden.recipes.comparison import Difference, compare
from visiongarden.recipes.demonstration import demo
from visiongarden.recipes.json_schema import schema
from visiongarden.recipes.model_diff import diff
from visiongarden.recipes.model_figure import show
from visiongarden.recipes.recipe import Data, Model, Recipe
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.resume_proof import prove_resume
from visiongarden.recipes.resuming import newest_run
from visiongarden.recipes.running import train
from visiongarden.recipes.state_comparison import ResumeProof
from visiongarden.recipes.training_result import TrainingResult
from visiongarden.recipes.versions import environment

__all__ = [
    "Data",
    "Difference",
    "Model",
    "Recipe",
    "ResumeProof",
    "TrainingResult",
    "compare",
    "demo",
    "diff",
    "environment",
    "newest_run",
    "prove_resume",
    "resolve",
    "schema",
    "show",
    "train",
]
