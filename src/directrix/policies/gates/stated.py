"""What a prompt says of an attribute itself: "a male nurse", "a dark-skinned cook", "her", "not a man"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from directrix.policies.gates.noun_phrases import NounPhrase
from directrix.policies.gates.people import People
from directrix.policies.wording.tokens import Word

_LONGEST = 5
_BE = ("is", "are", "was", "were", "be", "being", "and", ",", "not")
# What these lead to is another's: "a doctor for women".
_OTHERS = ("for", "by")


def stated(
    attribute: str,
    categories: Iterable[str],
    prompt: str,
    words: list[Word],
    phrases: Sequence[NounPhrase],
    people: People,
) -> str:
    """The words by which a prompt says something of an attribute, "" for none.

    Args:
        attribute, categories: its name, and those of its categories, which count where no words are listed for it.
        prompt, words, phrases: of a prompt that is about persons.
    """
    table = people.stated.get(attribute)
    if table is None:
        table = {tuple(name.casefold().replace("-", " ").split()): name for name in categories}
    endings, colors = people.endings.get(attribute, {}), people.colors.get(attribute, {})
    texts = [word.text for word in words]
    for at, word in enumerate(words):
        phrase = next((each for each in phrases if each.start <= at < each.stop), None)
        if phrase is not None and phrase.link in _OTHERS:
            continue
        if word.text in people.names and prompt[word.start].isupper():
            return prompt[word.start : word.end]
        stop = _stop(texts, at, table)
        if not stop and word.text not in people.not_stated and any(map(word.text.endswith, endings)):
            stop = at + 1
        if stop and not (stop < len(words) and words[stop].joined) and _of_person(stop, phrase, words):
            return prompt[word.start : words[stop - 1].end]
        if word.text in colors and _color(at, phrase, prompt, words, people):
            return prompt[word.start : word.end]
    return ""


def _stop(texts: Sequence[str], at: int, table: Iterable[tuple[str, ...]]) -> int:
    """Where the longest listed words that begin at `at` end; 0 for none."""
    for stop in range(min(at + _LONGEST, len(texts)), at, -1):
        form = tuple(texts[at:stop])
        if form in table or (*form[:-1], form[-1].removesuffix("'s")) in table:
            return stop
    return 0


def _of_person(stop: int, phrase: NounPhrase | None, words: Sequence[Word]) -> bool:
    """Whether the words that end at `stop` are said of a person: not "a cowboy hat", "a woman's purse"."""
    if phrase is None or stop >= phrase.head or phrase.kind in ("person", "group", "part", "portrait"):
        return True
    return phrase.kind == "unknown" and not words[stop - 1].text.endswith("'s")


def _color(at: int, phrase: NounPhrase | None, prompt: str, words: list[Word], people: People) -> bool:
    """Whether a color is a person's: "a black lawyer", "a lawyer who is black", not "a black belt", "white-haired"."""
    if phrase is None or (at + 1 < len(words) and words[at + 1].joined):
        return False
    if phrase.kind in ("person", "group"):
        return at < phrase.head and (words[at + 1].text not in people.colored or prompt[words[at].start].isupper())
    # Alone, after "is" or between commas.
    alone = phrase.stop - phrase.start == 1 and phrase.link in _BE
    after = words[phrase.stop].text if phrase.stop < len(words) else ""
    return alone and (phrase.link not in ("and", ",") or after in (",", ""))
