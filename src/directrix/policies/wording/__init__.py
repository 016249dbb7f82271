"""What a prompt asks for in words: which attributes to balance, and what to keep out."""

from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.types import Switch, Understanding
from directrix.policies.wording.understand import understand

__all__ = ["Phrases", "Switch", "Understanding", "understand"]
