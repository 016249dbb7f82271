"""What a negation denies: a list of objects, acts and states, some of which may mean nothing here.

A negation reaches over the list that follows it: over "or", "nor" and "/" always; over "and" where a harmful object
without an article of its own follows; over commas where the list closes with one of these, or where nothing but
harmful objects follows. A harmful noun that is only the first half of another ("no beer garden") is another object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from directrix.policies.wording.english import FILLERS, ends_noun
from directrix.policies.wording.phrases import Named
from directrix.policies.wording.sentence import Rules
from directrix.policies.wording.words import WORDS

LONGEST = 12  # objects in one list, at most: long prompts stay quick to read


class Item(NamedTuple):
    """One object of a list; without meanings it is none that is known."""

    start: int
    stop: int
    meanings: tuple[Named, ...]
    article: bool = False


class Denied(Rules):
    """The rules over one sentence."""

    def listed(self, at: int, cue: str, first_word: str) -> list[Item]:
        """The list at `at`, after a negation that begins with `first_word`."""
        first = self._item(at, cue) or self._unknown(at)
        items = [first] if first else []
        while items:
            joiner, after = self.joiner(items[-1].stop)
            if not joiner or self._cue_at(after):
                break
            if joiner == ",":
                more = self._comma_list(after, cue, items)
                items += more
                if not more:
                    break
                continue
            item = self._item(after, cue)
            if item is None and (joiner == "or" or cue == "each"):
                item = self._unknown(after)
            if item is None or (joiner == "and" and cue != "each" and not self._reaches(item, cue, first_word)):
                break
            items.append(item)
        return items

    def objects(self, at: int) -> list[Item]:
        """Harmful objects joined by "and", "or" and commas, nothing else between."""
        items: list[Item] = []
        while len(items) < LONGEST:
            start = at
            while self._text(at) in WORDS["articles"] and items:
                at += 1
            hits = [
                self.sentence.named(lexicon, at)
                for lexicon in (self.phrases.objects, self.phrases.free, self.phrases.acts)
            ]
            found = max((hit for hit in hits if hit), key=lambda hit: hit.stop, default=None)
            if found is None or all(each.form in ("finite", "state") for each in found.meanings):
                return items
            items.append(Item(start, found.stop, found.meanings))
            joiner, after = self.joiner(found.stop)
            if not joiner:
                return items
            at = after
        return items

    def past_fillers(self, at: int) -> int:
        """Past the small words that may stand between a negation and what it denies."""
        while hit := FILLERS.match(self.words, at):
            at = hit.stop
        return at

    def joiner(self, at: int) -> tuple[str, int]:
        """ "or", "and", "," or "" at `at`, and where what is joined begins."""
        comma = self._text(at) == ","
        start = at + comma
        text = self._text(start)
        if text == "and" and self._text(start + 1) == "/" and self._text(start + 2) == "or":
            return "or", start + 3
        if text in ("or", "nor", "/"):
            return "or", start + 1
        if text == "and":
            return "and", start + 1
        return (",", start) if comma else ("", at)

    def _reaches(self, item: Item, cue: str, first_word: str) -> bool:
        """Whether "and" carries the negation on: not to "no knife and a beer", nor to "not smoking and drinking a
        beer"."""
        return not item.article or (cue in ("nouns", "orders") and first_word != "no")

    def _comma_list(self, at: int, cue: str, before: Sequence[Item]) -> list[Item]:
        """The items after a comma that the negation still reaches; none where the list does not hold together."""
        known = all(item.meanings for item in before)
        bare = not any(item.article for item in before)
        more: list[Item] = []
        while len(more) < LONGEST:
            item = self._item(at, cue)
            if item is None:
                item = self._unknown(at)
                if item is None or (item.article and bare):
                    return []
            more.append(item)
            joiner, after = self.joiner(item.stop)
            known = known and bool(item.meanings)
            if joiner == ",":
                if not self._cue_at(after):
                    at = after
                    continue
                joiner = ""
            if joiner == "or" or (joiner == "and" and cue == "each"):
                return more
            if joiner == "and":
                last = self._item(after, cue)
                closed = last is not None and known and (bare is not last.article or cue == "each")
                return more if closed else []
            ended = item.stop >= len(self.words) or self._text(item.stop) in (",", ".", ";", "!", "?", ")", "—")
            plain = known and bare and not any(each.article for each in more)
            return more if ended and plain else []
        return []

    def _cue_at(self, at: int) -> bool:
        hit = self.phrases.negation.match(self.words, at)
        return hit is not None and hit.meanings != ("orders",)

    def _item(self, at: int, cue: str) -> Item | None:
        """A denied object or act with the small words before it."""
        start, article = at, False
        while True:
            hit = FILLERS.match(self.words, at)
            act = self._act(at, cue)
            if act and (not hit or act.stop > hit.stop):
                return Item(start, act.stop, act.meanings, article or act.article)
            noun = self.sentence.noun(at)
            if noun and hit and noun.stop > hit.stop:
                # "Anything to smoke".
                break
            if hit:
                article = article or self._text(at) in WORDS["articles"]
                at = hit.stop
            elif self._text(at) in WORDS["verbs"] and self._verb_fits(at, cue, start):
                at += 1
            else:
                break
        for skipped in range(3):
            hit = self.sentence.noun(at)
            if hit:
                plural = all(each.form == "plural" for each in hit.meanings)
                ended = plural or self._ends(hit.stop) or self._attached(at, hit.stop)
                return Item(start, hit.stop, hit.meanings, article) if ended else None
            text = self._text(at)
            if (
                not text
                or self.words[at].mark
                or text in WORDS["function"]
                or text.endswith("ing")
                or text in WORDS["negators"]
                or self.phrases.lookalikes.match(self.words, at)
            ):
                return None
            if skipped and text not in WORDS["modifiers"] and self._text(at - 1) not in WORDS["modifiers"]:
                return None
            at += 1
        return None

    def _attached(self, at: int, stop: int) -> bool:
        """Whether a hyphen joins the object to "no" or "zero" and the two say something of what follows: "a no-gun
        zone", but not "a no-alcohol beer"."""
        meanings = self.phrases.objects.match(self.words, at)
        names = {each.name for each in meanings.meanings} if meanings else set()
        return self.words[at].joined and self._text(at - 1) in ("no", "zero") and not self.sentence.drawn(stop, names)

    def _verb_fits(self, at: int, cue: str, start: int) -> bool:
        return (
            cue not in ("nouns", "orders")
            or at > start
            or self._text(at).endswith("ing")
            or self._text(at) in ("use", "armed")
        )

    def _ends(self, at: int) -> bool:
        phrases = self.phrases
        return ends_noun(self.words, at) or any(
            lexicon.match(self.words, at)
            for lexicon in (phrases.whole, phrases.openness, phrases.negation, phrases.negation_after, phrases.gone)
        )

    def _act(self, at: int, cue: str) -> Item | None:
        """A denied act or state, with its object: "smoking", "armed with a knife", "armed guards"."""
        hit = self.sentence.act(at)
        if hit is None:
            return None
        plain = cue in ("nouns", "orders")
        meanings = tuple(each for each in hit.meanings if each.form != "finite" or not plain)
        if not meanings:
            return None
        inside = hit.stop + (self._text(hit.stop) in ("with", "on", "from", "at", "of"))
        goal = self.past_fillers(inside)
        noun = self.sentence.noun(goal)
        if noun and (self._ends(noun.stop) or all(each.form == "plural" for each in noun.meanings)):
            own = {(each.kind, each.name) for each in meanings}
            if self._text(hit.stop) not in ("from", "of") or own & {(each.kind, each.name) for each in noun.meanings}:
                return Item(at, noun.stop, noun.meanings, self._text(inside) in WORDS["articles"])
        if self.sentence.person(hit.stop) and meanings[0].form == "state":
            return Item(at, hit.stop + 1, meanings)
        if self.words[at].joined and self._text(at - 1) == "no":
            # "A no-smoking break": said of what follows.
            return Item(at, hit.stop, meanings)
        text = self._text(hit.stop)
        if text in ("anybody", "anyone", "anything", "somebody", "someone", "people", "each"):
            # "Not attacking anybody".
            return Item(at, hit.stop + 1, meanings)
        if text in WORDS["articles"] or text in ("some", "his", "her", "their", "its") or not self._ends(hit.stop):
            return None
        return Item(at, hit.stop, meanings)

    def _unknown(self, at: int) -> Item | None:
        """A noun phrase that means nothing here: up to four words that end where a list goes on or stops."""
        start, article = at, self._text(at) in WORDS["articles"]
        while hit := FILLERS.match(self.words, at):
            at = hit.stop
        begin = at
        while at < len(self.words) and at - begin < 4:
            word = self.words[at]
            if word.mark or word.text in WORDS["function"] or self._cue_at(at):
                break
            at += 1
        return Item(start, at, (), article) if at > begin else None
