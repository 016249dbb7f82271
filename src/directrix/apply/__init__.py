"""Uses of directions: fair and safe generation, doing what prompts ask for, and policies made of all three."""

from directrix.apply.enhance import Switch, Understanding, understand
from directrix.apply.phrases import Phrases

__all__ = ["Phrases", "Switch", "Understanding", "understand"]
