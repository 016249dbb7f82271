"""Joined values of an attribute: "male or female", "men and women", "half girls, half boys", "from pale to dark skin".

"Or" always joins them; "and" does where they are plural or adjectives, because "a man and a woman" are these two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from directrix.policies.wording.english import ends_noun
from directrix.policies.wording.lexicon import Lexicon
from directrix.policies.wording.phrases import Value, Values
from directrix.policies.wording.sentence import Part, Reading, Rules
from directrix.policies.wording.words import WORDS

_JOINERS: Lexicon[str] = Lexicon()
_JOINERS.add("or", "or", "and / or")
_JOINERS.add("", "nor")
_JOINERS.add("and", "and", "/", "as well as", "alongside")
_JOINERS.add("to", "to")


class _Listed(NamedTuple):
    word: Value
    text: str
    article: bool


class JoinedValues(Rules):
    """The rules over one sentence."""

    def read(self, at: int, after: int) -> Reading | None:
        """Reads joined values at `after`, behind the cues that begin at `at`."""
        for values in self.phrases.values:
            found = self._list(values, after)
            if found is None:
                continue
            stop, listed, joiner = found
            tail = values.tails.match(self.words, stop)
            stop = tail.stop if tail else stop
            named = self.phrases.named.match(self.words, stop)
            different = len({each.word.value for each in listed})
            cues = {word.text for word in self.words[at:after]}
            if values.least > 2 and not tail and not self._of_people(at, stop, listed):
                continue
            # "Black or white" is enough of somebody in particular.
            certain = tail or (joiner == "or" and self._beside_people(at, stop))
            if different < (2 if certain else values.least):
                continue
            if values.joined and joiner != values.joined:
                continue
            if joiner == "and" and not self._all_of_them(after, listed, cues):
                continue
            rewritten = self._rewritten(at, stop, listed, cues)
            # "Men, women and non-binary people".
            stop += self._text(stop) == "people" and any(each.word.rewritten for each in listed)
            # "Male or female gender": the name goes with its values.
            stop = named.stop if named else stop
            return Reading(stop, (Part(at, stop, "balance", values.name, rewritten),))
        return None

    def _list(self, values: Values, at: int) -> tuple[int, list[_Listed], str] | None:
        """Where the list ends, its words, and what joins them: "or", "and", "to"."""
        listed: list[_Listed] = []
        joiners: set[str] = set()
        first_head = values.heads.match(self.words, at)
        if first_head:
            # "Skin may be light or dark".
            at = first_head.stop
            while self._text(at) in WORDS["be-ranging"]:
                at += 1
        stop, headed, shares = at, not values.heads or bool(first_head), 0
        while True:
            start = at
            at, article = self._before_value(at)
            # What share of them the next value is of: "half the", "50 %".
            shares += any(word.text in (*WORDS["shares"], "%", "percent") for word in self.words[start:at])
            hit = values.words.match(self.words, at)
            if hit is None:
                break
            listed.append(_Listed(hit.meanings[0], self.words[hit.stop - 1].text, article))
            at = stop = hit.stop
            head = values.heads.match(self.words, at)
            if head:
                at = stop = head.stop
            headed = headed or bool(head)
            joiner, at = self._joiner(at)
            if not joiner and self._text(at) in WORDS["shares"] and shares:
                joiner = ","
            if not joiner or (joiner == "to" and not values.heads):
                break
            joiners.add(joiner)
        if shares > 1:
            joiners.add("or" if "sometimes" in (word.text for word in self.words[:stop]) else "and")
        if not headed or not listed or joiners <= {","}:
            return None
        if values.heads and not first_head and not self.sentence.ends(values.heads, stop, 3):
            return None
        joiner = "or" if "or" in joiners else "to" if "to" in joiners else "and"
        return stop, listed, joiner

    def _before_value(self, at: int) -> tuple[int, bool]:
        """Past "a", "half of the" and "50 %", and whether an article is among them."""
        article = False
        while True:
            text, after = self._text(at), self._text(at + 1)
            if self._text(at - 1) in ("half", "some", "part") and text == "of":
                at += 2 if after in ("them", "the") else 1
            elif text.isdecimal() and after in ("%", "percent"):
                at += 2
            elif text == "sometimes" or text in WORDS["before-value"]:
                article = article or text in WORDS["articles"]
                at += 1
            else:
                return at, article

    def _joiner(self, at: int) -> tuple[str, int]:
        comma = self._text(at) == ","
        start = at + comma
        hit = _JOINERS.match(self.words, start)
        if hit:
            return hit.meanings[0], hit.stop
        return (",", start) if comma else ("", at)

    def _of_people(self, at: int, stop: int, listed: Sequence[_Listed]) -> bool:
        """Whether people follow, or nothing: "black, white and Asian" may be said of a kitchen."""
        if any(self.sentence.person(each) for each in range(stop, stop + 3)):
            return True
        if {each.text for each in listed} <= WORDS["colors"] and not self._beside_people(at, stop):
            return False
        return ends_noun(self.words, stop)

    def _beside_people(self, at: int, stop: int) -> bool:
        """Whether values in words[at:stop] are certainly said of people: the next noun, or the last one before a
        comma."""
        if self.sentence.person(stop) or (self._text(at - 1) == "," and self.sentence.person(at - 2)):
            return True
        if not ends_noun(self.words, stop) or (at > 0 and not self.words[at - 1].mark):
            return False
        # Set off, in a prompt that has a person in it and no animal or object that could be of these colours.
        return self.sentence.has_people and not self.sentence.has_others

    def _all_of_them(self, at: int, listed: Sequence[_Listed], cues: set[str]) -> bool:
        """Whether values joined by "and" stand for everybody, rather than for one person of each."""
        if "both" in cues or "mix" in cues or "either" in cues:
            return not any(each.article for each in listed)
        before = self._text(at - 1)
        if before in ("a", "an", "one") or any(each.article for each in listed):
            return False
        return all(each.word.plural or not each.word.rewritten for each in listed)

    def _rewritten(self, at: int, stop: int, listed: Sequence[_Listed], cues: set[str]) -> str:
        """What stands in for the values: "person" for "man or woman", an article for "a male or a female"."""
        first = listed[0]
        article = any(each.article for each in listed)
        before = self.words[at - 1] if at else None
        if cues & WORDS["clause"]:
            return ""
        describes = self.sentence.person(stop)
        nouns = [each.word for each in listed if each.word.rewritten]
        if describes or not nouns:
            goes_on = stop < len(self.words) and not ends_noun(self.words, stop)
            alone = before is not None and before.text in WORDS["articles"]
            return "a" if article and goes_on and not alone else ""
        # "A judge, either a man or a woman,": said of the judge; nobody else comes in.
        said_of = (not article and not nouns[0].plural) or (
            self._text(at - 2) not in WORDS["pictures"] and self.sentence.person(at - 2)
        )
        if before is not None and before.mark and said_of:
            return ""
        rewritten = nouns[0].rewritten
        return rewritten if not first.article or nouns[0].plural else f"a {rewritten}"
