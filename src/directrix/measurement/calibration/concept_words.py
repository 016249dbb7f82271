"""Whether what a judge sees is what a concept's words say, and which words an embedded model does not know.

A concept that the model or the judge does not know moves something else, if anything. Whoever asked for glasses should
not get a flower.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from directrix.concept import Concept
from directrix.directions.target_label import TargetLabel
from directrix.errors import NoEffectError
from directrix.models import embedded
from directrix.models.steerable import SteerableModel

_WORD = re.compile(r"[^\W\d_]+")
_SAME = {
    "female": ("woman", "women", "girl", "lady", "feminine", "gender"),
    "male": ("man", "men", "boy", "gentleman", "masculine", "gender"),
}


def check_label(model: SteerableModel, concept: Concept, label: TargetLabel, judge: Any) -> None:
    """Raises NoEffectError where the label that a judge sees change says nothing of the concept's words."""
    wanted = [pair.negative or pair.target for pair in concept.pairs]
    given = {word for pair in concept.pairs for word in _stems([pair.neutral])}
    said = (_stems(wanted) - given) | _stems([concept.name])
    named_by = getattr(judge, "phrases_naming", None)
    seen = [label.label, *_SAME.get(label.label, ())]
    seen += [] if named_by is None else named_by(label.attribute, label.label)
    if said & _stems(seen):
        return
    unknown = unknown_words(model, wanted)
    which = f" The model does not know: {', '.join(unknown)}." if unknown else ""
    raise NoEffectError(
        f"What the judge sees change with the words of '{concept.name}' is something else: '{label}'.{which}",
        "a concept that the model draws and the judge can see.",
        "other words or another judge; '--target-label ATTRIBUTE=LABEL' (target_label= in Python) for what it should "
        "see; '--force' (force=True) to calibrate on this all the same.",
    )


def unknown_words(model: SteerableModel, texts: Iterable[str]) -> list[str]:
    """Words that an embedded model has never seen, in their order; none for other models, which know most words.

    Its tokenizer was made from its captions: what it does not know it spells in pieces.
    """
    tokenizer = getattr(model.pipeline, "tokenizer", None)
    if model.identity.name not in embedded.MODELS or tokenizer is None:
        return []
    words = dict.fromkeys(word for text in texts for word in _WORD.findall(text.lower()))
    return [word for word in words if len(tokenizer.tokenize(word)) > 1]


def _stems(texts: Iterable[str]) -> set[str]:
    """Words in lower case without their plural."""
    return {word.removesuffix("s") for text in texts for word in _WORD.findall(text.lower())}
