"""One value of an attribute, denied as the only one: "not only women", "do not default to white", "need not be a man".

Such wording wants the other values too, so it evens the attribute. "Not just a man" says something else of one man,
and "not only white" may be said of a wall.
"""

from __future__ import annotations

from directrix.policies.wording.english import ends_noun
from directrix.policies.wording.lexicon import Hit
from directrix.policies.wording.phrases import Value
from directrix.policies.wording.sentence import Part, Reading, Rules
from directrix.policies.wording.words import WORDS

_GROUP = 5  # words in "that the surgeon is"


class OneSided(Rules):
    """The rules over one sentence."""

    def read(self, at: int) -> Reading | None:
        """Reads a value denied as the only one at `at`."""
        hit = self.phrases.sided.match(self.words, at)
        if hit is None:
            return None
        presumed = "presumed" in hit.meanings
        start, subject = self._past_subject(hit.stop) if presumed else (hit.stop, "")
        names: list[str] = []
        stop = start
        while found := self._value(start, presumed):
            stop, name = found
            names += [] if name in names else [name]
            more = stop
            while self._text(more) in ("or", "and", ",", "but", "also", "nor", "/"):
                more += 1
            if more == stop:
                break
            start = more
        if not names:
            return None
        if self.sentence.other(stop) or (not presumed and self._text(stop) in WORDS["auxiliaries"]):
            return Reading(stop)
        article = any(word.text in ("a", "an") for word in self.words[at : hit.stop])
        rewritten = "a" if article and not subject and not ends_noun(self.words, stop) else subject
        return Reading(stop, tuple(Part(at, stop, "balance", name, rewritten) for name in names))

    def _past_subject(self, at: int) -> tuple[int, str]:
        """Past "the surgeon is", and what of it stays in the prompt."""
        for place in range(at, min(at + _GROUP, len(self.words))):
            if self.words[place].mark:
                break
            if self._text(place) in WORDS["be"] and place > at:
                group = [word.text for word in self.words[at:place] if word.text != "that"]
                rewritten = "" if set(group) <= WORDS["pronouns"] else " ".join(group)
                return place + 1, rewritten
        if self._text(at - 1) in ("every", "each", "all", "the"):
            # "Don't make every nanny a woman".
            return min(self.sentence.noun_end(at), at + 3), ""
        if self._text(at) in WORDS["pronouns"]:
            at += 1
        return at, ""

    def _value(self, at: int, presumed: bool) -> tuple[int, str] | None:
        """Where one value with the noun it describes ends, and its attribute."""
        article = False
        while self._text(at) in WORDS["before-sole-value"]:
            article = article or self._text(at) in WORDS["articles"]
            at += 1
        for values in self.phrases.values:
            hit = values.words.match(self.words, at)
            if hit is None or (article and not presumed):
                continue
            head = values.heads.match(self.words, hit.stop) or values.tails.match(self.words, hit.stop)
            stop = head.stop if head else hit.stop
            if values.heads or values.least > 2:
                if not head and not self._of_people(stop, presumed):
                    continue
            elif not self._all(hit, presumed):
                continue
            if self._text(stop) in ("people", "person", "persons", "ones", "characters"):
                stop += 1
            return stop, values.name
        return None

    def _all(self, hit: Hit[Value], presumed: bool) -> bool:
        """Whether the value is said of all: plural or an adjective."""
        value = hit.meanings[0]
        return presumed or value.plural or not value.rewritten

    def _of_people(self, stop: int, presumed: bool) -> bool:
        """Whether a colour before `stop` is that of people."""
        if self.sentence.person(stop):
            return True
        if not ends_noun(self.words, stop):
            return False
        return presumed or (self.sentence.has_people and not self.sentence.has_others)
