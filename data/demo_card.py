"""The model card of the demo encoder."""

from data.demo_evaluation import Figures
from data.demo_training import Recipe


def model_card(recipe: Recipe, figures: Figures, *, parameters: int, seconds: float) -> str:
    """TODO"""
    return f"{recipe} {figures} {parameters} {seconds}"
