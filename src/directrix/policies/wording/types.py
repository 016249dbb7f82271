"""What was understood of a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from directrix.deprecation import old_attributes
from directrix.policies.wording.rewrite import cut_out

Kind = Literal["balance", "absent"]


@dataclass(frozen=True)
class Switch:
    """What one understood phrase switches on.

    Args:
        kind: "balance": the attribute is to be even over the images; "absent": an anti-concept is on.
        name: of the attribute ("gender", "skin tone") or anti-concept ("weapon", "smoking", "alcohol", ...).
        phrase: the words of the prompt, prompt[start:end].
        start: where they begin, in characters.
        end: where they end.
        instead: what the model is given in their place: "people" for "men and women"; mostly nothing.
    """

    kind: Kind
    name: str
    phrase: str
    start: int
    end: int
    instead: str = ""


@old_attributes(told="rewritten")
@dataclass(frozen=True)
class Understanding:
    """What was understood of a prompt.

    Args:
        prompt: as it was given.
        switches: in the order of their phrases; one phrase may switch several things on.
        unknown: phrases that look responsible and that nothing here understands; they change nothing.
    """

    prompt: str
    switches: tuple[Switch, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def rewritten(self) -> str:
        """The prompt without the understood phrases and without what they leave dangling; all else to the letter."""
        return cut_out(self.prompt, ((each.start, each.end, each.instead) for each in self.switches))
