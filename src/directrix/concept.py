"""A concept in words: what is wanted, and the same with the concept left out.

A *prompt pair* holds a target prompt y+ ("a woman") and a neutral one y- ("a person"). An *anti-concept*
(safety) has a negative prompt as well: its images x+ are drawn from the target prompt, which is then
usually the neutral one, while the negative prompt ("violence") pushes the concept out of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from directrix.checks import one_of
from directrix.errors import ConceptError


@dataclass(frozen=True)
class PromptPair:
    """Two prompts that differ in the concept only.

    Args:
        target: y+, the prompt that the images x+ are drawn from.
        neutral: y-, the prompt that the steered model gets.
        negative: negative prompt under which x+ is drawn from `target`; None for an ordinary concept.

    Raises:
        ConceptError: a prompt is empty, or the two are equal and no negative prompt makes a difference.
    """

    target: str
    neutral: str
    negative: str | None = None

    def __post_init__(self) -> None:
        for role, prompt in vars(self).items():
            if not isinstance(prompt, str | None) or (prompt is None and role != "negative"):
                raise ConceptError(f"The {role} prompt is a {type(prompt).__name__}.", "text.", 'such as "a woman".')
            if prompt is not None and not prompt.strip():
                raise ConceptError(f"The {role} prompt is empty.", "at least one word.", "give it some words.")
        if self.negative is None and self.target.strip() == self.neutral.strip():
            raise ConceptError(
                f"The target and the neutral prompt are both '{self.target}'.",
                "two prompts that differ in the concept.",
                "name the concept in the target prompt only, or give a negative prompt for an anti-concept.",
            )


@dataclass(frozen=True)
class Concept:
    """A named concept and the prompt pairs that show it; ConceptError without a name or pairs."""

    name: str
    pairs: tuple[PromptPair, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConceptError("The concept has no name.", "a short name such as 'woman'.", "give it one.")
        object.__setattr__(self, "pairs", tuple(self.pairs))
        if not self.pairs:
            raise ConceptError(
                f"The concept '{self.name}' has no prompts.",
                "at least one target and one neutral prompt.",
                f'Concept.of("{self.name}", target="a {self.name}", neutral="a person").',
            )

    @classmethod
    def of(
        cls,
        name: str,
        target: str | Sequence[str] | None = None,
        neutral: str | Sequence[str] | None = None,
        negative: str | Sequence[str] | None = None,
    ) -> Concept:
        """Builds a concept from one prompt or several of each kind.

        Several prompts are paired in order; a single one goes with all of the others. With a negative prompt
        the target may be left out: it is then the neutral prompt.

        Raises:
            ConceptError: a prompt is missing or empty, or the numbers of prompts differ.
        """
        target = neutral if target is None and negative is not None else target
        for role, prompts in (("neutral", neutral), ("target", target)):
            if prompts is None:
                raise ConceptError(
                    f"The concept '{name}' has no {role} prompt.",
                    "a prompt that names the concept (or a negative one for an anti-concept), and one without it.",
                    f'target="a {name}", neutral="a person".',
                )
        columns: dict[str, Any] = {"target": target, "neutral": neutral, "negative": negative}
        for role, prompts in columns.items():
            columns[role] = [prompts] if prompts is None or isinstance(prompts, str) else list(prompts)
        count = max(map(len, columns.values()))
        for role, prompts in columns.items():
            if len(prompts) not in (1, count):
                raise ConceptError(
                    f"The concept '{name}' has {len(prompts)} {role} prompts, but {count} of another kind.",
                    f"{count} of each kind, or a single one that goes with all.",
                    f"give 1 or {count} {role} prompts.",
                )
        rows = zip(*(prompts * (count if len(prompts) == 1 else 1) for prompts in columns.values()), strict=True)
        return cls(name, tuple(PromptPair(*row) for row in rows))

    def neutral_prompts(self, subjects: Sequence[str]) -> list[str]:
        """Its neutral prompts, and the same with each subject ("a judge") in place of "a person"; each once."""
        neutral = [pair.neutral for pair in self.pairs]
        others = [re.sub(r"\ba person\b", each, prompt) for prompt in neutral for each in subjects]
        return list(dict.fromkeys([*neutral, *others]))

    @property
    def anti(self) -> bool:
        """Whether a negative prompt keeps something out: the direction found is then always added."""
        return any(pair.negative is not None for pair in self.pairs)


@dataclass(frozen=True)
class AttributeSet:
    """Concepts of which one image shows one, such as the genders.

    Args:
        name: of what they are values of.
        concepts: two or more.
        words: for each concept, what stands before a noun: "female" as in "a female judge"; none where nothing does.

    Raises:
        ConceptError: fewer than two concepts, two of one name, or not as many words as concepts.
    """

    name: str
    concepts: tuple[Concept, ...]
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "concepts", tuple(self.concepts))
        object.__setattr__(self, "words", tuple(self.words))
        names = [concept.name for concept in self.concepts]
        has = f"The attribute set '{self.name}' has"
        if self.words and len(self.words) != len(names):
            happened = f"{has} {len(self.words)} words for {len(names)} concepts."
            raise ConceptError(happened, "one for each concept, or none.", "add or remove words.")
        if len(names) < 2 or len(set(names)) < len(names):
            expected = "two or more, each with a name of its own."
            raise ConceptError(f"{has} the concepts {names}.", expected, "add or rename concepts.")

    def among(self, subjects: Sequence[str]) -> AttributeSet:
        """The same concepts with more prompts: each subject with the concept's word, and without it.

        subjects: noun phrases with an indefinite article; "a judge" gives "a female judge" and "a judge". What a
        concept means is not quite the same for everybody, and what all of them have in common is nearer to it.
        """
        if not self.words:
            return self
        concepts = tuple(
            Concept(concept.name, (*concept.pairs, *(_pair(subject, word) for subject in subjects)))
            for concept, word in zip(self.concepts, self.words, strict=True)
        )
        return AttributeSet(self.name, concepts, self.words)


def _pair(subject: str, word: str) -> PromptPair:
    """The subject with the word before its noun, and without it."""
    article, _, noun = subject.partition(" ")
    if article not in ("a", "an") or not noun.strip():
        raise ConceptError(f"The subject is {subject!r}.", "a noun with its article.", '"a judge".')
    return PromptPair(f"{'an' if word[0] in 'aeiou' else 'a'} {word} {noun}", subject)


GENDER = AttributeSet(
    "gender", (Concept.of("woman", "a woman", "a person"), Concept.of("man", "a man", "a person")), ("female", "male")
)
_TONES = ("light-skinned", "brown-skinned", "dark-skinned")
SKIN_TONE = AttributeSet(
    "skin tone", tuple(Concept.of(tone, f"a {tone} person", "a person") for tone in _TONES), _TONES
)
ATTRIBUTE_SETS = {each.name: each for each in (GENDER, SKIN_TONE)}


def attribute_set(name: str) -> AttributeSet:
    """The attribute set of that name, also "skin-tone" and "SKIN_TONE"; ConceptError names the nearest."""
    plain = str(name).strip().lower().replace("-", " ").replace("_", " ")
    return ATTRIBUTE_SETS[one_of("attribute set", plain, ATTRIBUTE_SETS, error=ConceptError)]
