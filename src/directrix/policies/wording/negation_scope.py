"""What a negation denies: a list of objects, acts and states, some of which may mean nothing here.

A negation reaches over the list that follows it: over "or", "nor" and "/" always; over "and" where a harmful object
without an article of its own follows; over commas where the list closes with one of these, or where nothing but
harmful objects follows. A harmful noun that is only the first half of another ("no beer garden") is another object.
"""

from __future__ import annotations

from collections.abc import Sequence

from directrix.policies.wording.phrases import Named
from directrix.policies.wording.sentence import Item, Sentence
from directrix.policies.wording.tokens import WORDS

_NOUN_CUES = ("nouns", "orders")
_MORE = 12  # objects after one comma, at most


def denied(s: Sentence, at: int, cue: str, first_word: str) -> list[Item]:
    """The list at `at`, after a negation that begins with `first_word`."""
    first = _item(s, at, cue) or _unknown(s, at)
    items = [first] if first else []
    while items:
        joiner, after = s.joiner(items[-1].stop, "denied")
        if not joiner or _cue_at(s, after):
            break
        if joiner == ",":
            more = _comma_list(s, after, cue, items)
        else:
            surely = joiner == "or" or cue == "each"
            item = _item(s, after, cue) or (_unknown(s, after) if surely else None)
            # Not to "no knife and a beer", nor to "not smoking and drinking a beer".
            reaches = item and (surely or not item.article or (cue in _NOUN_CUES and first_word != "no"))
            more = [item] if item and reaches else []
        if not more:
            break
        items += more
    return items


def objects(s: Sentence, at: int) -> list[Item]:
    """Harmful objects joined by "and", "or" and commas, nothing else between."""

    def read(at: int, more: bool) -> Item | None:
        begin = s.skip(at, WORDS["articles"]) if more else at
        hits = (s.named(lexicon, begin) for lexicon in (s.phrases.objects, s.phrases.free, s.phrases.acts))
        found = max(filter(None, hits), key=lambda hit: hit.stop, default=None)
        if found is None or all(each.form in ("finite", "state") for each in found.meanings):
            return None
        return Item(at, found.stop, found.meanings)

    return s.listed(at, "denied", read)


def _comma_list(s: Sentence, at: int, cue: str, before: Sequence[Item]) -> list[Item]:
    """The items after a comma that the negation still reaches; none where the list does not hold together."""
    known = all(item.meanings for item in before)
    bare = not any(item.article for item in before)
    more: list[Item] = []
    while len(more) < _MORE:
        item = _item(s, at, cue)
        if item is None:
            item = _unknown(s, at)
            if item is None or (item.article and bare):
                return []
        more.append(item)
        known = known and bool(item.meanings)
        joiner, at = s.joiner(item.stop, "denied")
        if joiner == "," and not _cue_at(s, at):
            continue
        if joiner == "or" or (joiner == "and" and cue == "each"):
            return more
        if joiner == "and":
            last = _item(s, at, cue)
            return more if last and known and bare is not last.article else []
        ended = s[item.stop] in ("", ",", ".", ";", "!", "?", ")", "—")
        return more if ended and known and bare and not any(each.article for each in more) else []
    return []


def _cue_at(s: Sentence, at: int) -> bool:
    hit = s.phrases.negation.match(s.texts, at)
    return hit is not None and hit.meanings != ("orders",)


def _item(s: Sentence, at: int, cue: str) -> Item | None:
    """A denied object or act with the small words before it."""
    start, article = at, False
    while True:
        filler = s.past_filler(at)
        act = _act(s, at, cue)
        if act and act.stop > filler:
            return act._replace(start=start, article=article or act.article)
        noun = s.noun(at)
        if noun and filler and noun.stop > filler:
            # "Anything to smoke".
            break
        if filler:
            article = article or s[at] in WORDS["articles"]
            at = filler
        elif s[at] in WORDS["verbs"] and (
            cue not in _NOUN_CUES or at > start or s[at].endswith("ing") or s[at] in ("use", "armed")
        ):
            at += 1
        else:
            break
    for skipped in range(3):
        if hit := s.noun(at):
            ended = _plural(hit.meanings) or _ends(s, hit.stop) or _attached(s, at, hit.stop, hit.meanings)
            return Item(start, hit.stop, hit.meanings, article) if ended else None
        text = s[at]
        if s.stops(at) or text in WORDS["function"] | WORDS["negators"] or text.endswith("ing"):
            return None
        if s.phrases.lookalikes.past(s.texts, at):
            return None
        if skipped and WORDS["modifiers"].isdisjoint((text, s[at - 1])):
            return None
        at += 1
    return None


def _plural(meanings: Sequence[Named]) -> bool:
    return all(each.form == "plural" for each in meanings)


def _attached(s: Sentence, at: int, stop: int, meanings: Sequence[Named]) -> bool:
    """Whether a hyphen joins the object to "no" or "zero" and the two say something of what follows: "a no-gun zone",
    but not "a no-alcohol beer"."""
    return s.joined(at) and s[at - 1] in ("no", "zero") and not s.drawn(stop, {each.name for each in meanings})


def _ends(s: Sentence, at: int) -> bool:
    phrases = s.phrases
    cues = (phrases.whole, phrases.openness, phrases.negation, phrases.negation_after, phrases.gone)
    return s.ends_noun(at) or any(lexicon.past(s.texts, at) for lexicon in cues)


def _act(s: Sentence, at: int, cue: str) -> Item | None:
    """A denied act or state, with its object: "smoking", "armed with a knife", "armed guards"."""
    hit = s.act(at)
    meanings = tuple(each for each in hit.meanings if each.form != "finite" or cue not in _NOUN_CUES) if hit else ()
    if not hit or not meanings:
        return None
    stop, text = hit.stop, s[hit.stop]
    inside = stop + (text in ("with", "on", "from", "at", "of"))
    noun = s.noun(s.past_fillers(inside))
    if noun and (_plural(noun.meanings) or _ends(s, noun.stop)):
        same = {(each.kind, each.name) for each in meanings} & {(each.kind, each.name) for each in noun.meanings}
        if same or text not in ("from", "of"):
            return Item(at, noun.stop, noun.meanings, s[inside] in WORDS["articles"])
    # "A no-smoking break": said of what follows.
    joined = s.joined(at) and s[at - 1] == "no"
    anybody = text in ("anybody", "anyone", "anything", "somebody", "someone", "people", "each") and not joined
    if anybody or (s.person(stop) and meanings[0].form == "state"):
        # "Not attacking anybody", "no armed guards".
        return Item(at, stop + 1, meanings)
    goes_on = text in WORDS["articles"] or text in ("some", "his", "her", "their", "its") or not _ends(s, stop)
    return None if goes_on and not joined else Item(at, stop, meanings)


def _unknown(s: Sentence, at: int) -> Item | None:
    """A noun phrase that means nothing here: up to four words that end where a list goes on or stops."""
    begin = stop = s.past_fillers(at)
    while stop - begin < 4 and not (s.stops(stop) or s[stop] in WORDS["function"] or _cue_at(s, stop)):
        stop += 1
    return Item(at, stop, (), s[at] in WORDS["articles"]) if stop > begin else None
