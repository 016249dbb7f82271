"""What is said after a thing: that it must not appear, is banned, isn't allowed, has no place here."""

from __future__ import annotations

from typing import NamedTuple

from directrix.policies.wording.sentence import Sentence
from directrix.policies.wording.words import WORDS


class Predicate(NamedTuple):
    """What is said up to `stop`: that the thing is not there (`denies`), or that it is."""

    stop: int
    denies: bool


def predicate(sentence: Sentence, at: int, before: int = -1) -> Predicate | None:
    """Reads what is said from `at` on; `before` is the place of the word before the thing.

    "A gun, removed" needs no verb; "a sword left out in the rain" is not read as "the sword is left out".
    """
    phrases, start, denied, verb = sentence.phrases, at, False, False
    while True:
        text = sentence.text(at)
        if text in WORDS["not"] or text.endswith("n't"):
            denied = not denied
            verb = verb or text != "nowhere"
        elif text == "no" and sentence.text(at + 1) == "longer":
            denied, at = not denied, at + 1
        elif text in WORDS["chain"]:
            verb = True
        elif text not in WORDS["between-chain"]:
            break
        at += 1
    if gone := phrases.gone.match(sentence.words, at):
        bare = not verb and sentence.text(before) in ("a", "an", "one", "his", "her", "its")
        return None if bare else Predicate(gone.stop, not denied)
    if at > start and (there := phrases.there.match(sentence.words, at)):
        return Predicate(there.stop, denied)
    return None
