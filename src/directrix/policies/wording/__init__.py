"""What a prompt asks for in words: which attributes to balance, and what to keep out."""

from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.understand import Switch, Understanding, understand

__all__ = ["Phrases", "Switch", "Understanding", "understand"]
