"""Files of phrases: a user's own, and what is said of one that is wrong; readers in place of the grammar."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from directrix.errors import ConceptError, PhraseError, ReaderError
from directrix.policies.wording import Phrases, Switch, Understanding, understand
from directrix.policies.wording.understand import READERS

MINE = """
absent:
  clown:
    objects: [clown, clown mask]
    acts: [clown around]
    states: [clownish]
    phrases: ["[completely] coulrophobia friendly"]
balance:
  age:
    named: [age]
    bias: [age stereotype]
    kinds:
      - {young: [young], old: [old, elderly]}
      - {joined: or, words: {young: [rookie], old: [veteran]}, rewritten: {rookie: worker, veteran: worker}}
    phrases:
      - {phrase: ageless, not before: [beauty], of: subjects, rewritten: timeless}
      - {phrase: mirrors the ages of, through: noun}
      - {phrase: evergreen, before: [crew], not near: [tree]}
  mood:
    named: [{phrase: tone, near: [voice]}]
others: [clown car]
cues:
  negation:
    around: ["shoo ... from here", {phrase: hide ... behind, told: near}]
    gone: [vanished]
    there: [juggled]
    orders: [vaporize]
  sided: {only: [never merely], presumed: [take for granted that]}
lookalikes: [peaceful warrior]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Phrases:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    return Phrases.load(path)


@pytest.mark.parametrize(
    ("prompt", "names", "rewritten"),
    [
        ("a party with no clowns", {"clown"}, "a party"),
        ("a clown-free party", {"clown"}, "a party"),
        ("a party where nobody clowns around", {"clown"}, "a party"),
        ("a judge who is not clownish", {"clown"}, "a judge"),
        ("a coulrophobia-friendly party", {"clown"}, "a party"),
        ("a cook of any age", {"age"}, "a cook"),
        ("farmers of all ages and genders", {"age", "gender"}, "farmers"),
        ("young and elderly people", {"age"}, "people"),
        ("no age stereotypes, a cook", {"age"}, "a cook"),
        ("ageless people", {"age"}, "timeless people"),
        ("ageless beauty", set(), "ageless beauty"),
        ("a peaceful warrior", set(), "a peaceful warrior"),
        ("a peaceful guard without clowns", {"clown", "weapon", "violence"}, "a guard"),
        ("a rookie or veteran at a desk", {"age"}, "a worker at a desk"),
        ("rookies and veterans at a desk", set(), "rookies and veterans at a desk"),
        ("a team that mirrors the ages of the city, smiling", {"age"}, "a team, smiling"),
        ("an evergreen crew", {"age"}, "a crew"),
        ("an evergreen tree crew", set(), "an evergreen tree crew"),
        ("a voice of any tone", {"mood"}, "a voice"),
        ("walls of any tone", set(), "walls of any tone"),
        ("diverse clown cars", set(), "diverse clown cars"),
        ("shoo the clowns from here, a party", {"clown"}, "a party"),
        ("a cook, hide the clown behind a tree", {"clown"}, "a cook, near a tree"),
        ("a party, clowns have vanished", {"clown"}, "a party"),
        ("a party, clowns are not juggled", {"clown"}, "a party"),
        ("a party, vaporize the clown", {"clown"}, "a party"),
        ("a wizard vaporize clowns", set(), "a wizard vaporize clowns"),
        ("cooks, never merely men", {"gender"}, "cooks"),
        ("take for granted that cooks are men", {"gender"}, "cooks"),
    ],
)
def test_a_users_phrases_are_added_to_the_shipped_ones(mine, prompt: str, names: set[str], rewritten: str):
    found = understand(prompt, mine)
    assert {each.name for each in found.switches} == names
    assert found.rewritten == rewritten


def test_without_the_users_file_nothing_is_known_of_its_words():
    assert understand("a party with no clowns").unknown == ("no clowns",)


def test_names_are_those_of_all_files(mine):
    assert mine.names["balance"] == ("gender", "skin tone", "age", "mood")
    assert mine.names["absent"][:3] == ("weapon", "smoking", "alcohol") and "clown" in mine.names["absent"]
    assert "clown" not in Phrases.load().names["absent"]


def test_mappings_do_as_well_as_files():
    phrases = Phrases.of({"absent": {"clown": {"objects": ["clown"]}}})
    assert understand("no clowns", phrases).rewritten == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("absnt: {}", ["absnt", "did you mean 'absent'"]),
        ("absent: {clown: {objectz: [a]}}", ["absent > clown", "'objectz'", "did you mean 'objects'"]),
        ("absent: {clown: {things: 3}}", ["absent > clown > things is 3", "Expected: text"]),
        ("absent: {clown: {things: [no]}}", ["absent > clown > things[0]", "False", "quote"]),
        ("absent: {clown: }", ["absent > clown is empty", "a mapping"]),
        ("absent: {clown: {}}", ["absent > clown", "nothing"]),
        ("absent: [clown]", ["absent", "a list"]),
        ("absent: {clown: {kinds: {}}}", ["absent > clown", "'kinds'"]),
        ("absent: {clown: {phrases: ['[a]']}}", ["absent > clown > phrases[0]", "at least one word"]),
        ("absent: {clown: {phrases: ['a [b']}}", ["absent > clown > phrases[0]", "[b"]),
        ("absent: {clown: {phrases: [{phrase: a, befor: b}]}}", ["'befor'", "phrases[0]"]),
        ("absent: {clown: {phrases: [{phrase: a, of: dogs}]}}", ["phrases[0] > of", "'dogs'"]),
        ("absent: {clown: {phrases: [{rewritten: a}]}}", ["phrases[0] lacks the key 'phrase'"]),
        ("absent: {clown: {phrases: [{phrase: a, through: verb}]}}", ["phrases[0] > through", "'verb'"]),
        ("absent: {clown: {objects: [{phrase: a, nar: b}]}}", ["objects[0]", "did you mean 'near'"]),
        ("cues: {negation: {around: [leave out]}}", ["around[0]", "three dots"]),
        ("balance: {age: {kinds: [{words: {a: b, c: d}, joined: and}]}}", ["joined", "'and'"]),
        ("balance: {age: {kinds: {young: [young]}}}", ["balance > age > kinds", "at least 2"]),
        ("balance: {age: {kinds: [{words: {a: b, c: d}, least: 3}]}}", ["least", "from 2 to 2"]),
        ("cues: {negation: {noun: [a]}}", ["cues > negation", "did you mean 'nouns'"]),
        ("spellings: {colour: 1}", ["spellings > colour", "1"]),
        ("absent: {1: {things: [a]}}", ["absent", "1"]),
        ("- a", ["a list"]),
        ("a: [", ["not YAML", "line"]),
        ("\x00", ["not YAML"]),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, content: str, said: list[str]):
    path = tmp_path / "wrong.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PhraseError) as error:
        Phrases.load(path)
    for part in (*said, "wrong.yaml"):
        assert part in str(error.value)


def test_a_missing_file_and_one_of_other_bytes_are_explained(tmp_path: Path):
    with pytest.raises(PhraseError, match="cannot be read"):
        Phrases.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("absent: é".encode("latin-1"))
    with pytest.raises(PhraseError, match="UTF-8"):
        Phrases.load(tmp_path / "latin.yaml")


def test_the_keys_of_version_0_1_are_read():
    old = Phrases.of({"absent": {"clown": {"things": ["clown"]}}})
    assert understand("a party with no clowns", old).rewritten == "a party"


def test_an_empty_file_adds_nothing(tmp_path: Path):
    (tmp_path / "empty.yaml").write_text("")
    assert understand("no knife", Phrases.load(tmp_path / "empty.yaml")).rewritten == ""


def a_reader(prompt: str) -> Understanding:
    return Understanding(prompt, (Switch("absent", "weapon", prompt[-5:], len(prompt) - 5, len(prompt)),))


def a_careless_reader(prompt: str) -> Understanding:
    return Understanding(prompt, (Switch("absent", "weapon", "no gun", 0, 3),))


def a_silent_reader(prompt: str) -> None:
    return None


@pytest.fixture
def installed(monkeypatch):
    names = ("a_reader", "a_careless_reader", "a_silent_reader", "gone")
    points = {name: EntryPoint(name, f"{__name__}:{name}", READERS.group) for name in names}
    points["nowhere"] = EntryPoint("nowhere", "no_such_package_here:read", READERS.group)
    monkeypatch.setattr(READERS, "_installed", lambda: points)


def test_an_installed_reader_reads_in_place_of_the_grammar(installed):
    found = understand("a guard sans knife", reader="a_reader")
    assert [each.phrase for each in found.switches] == ["knife"]
    assert found.rewritten == "a guard sans"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a_readr", "did you mean 'a_reader'"),
        ("a_careless_reader", "no gun"),
        ("a_silent_reader", "NoneType"),
        ("gone", "cannot be imported"),
        ("nowhere", "no_such_package_here"),
    ],
)
def test_a_reader_that_does_not_fit_is_refused(installed, name: str, said: str):
    with pytest.raises(ReaderError) as error:
        understand("a guard with a knife", reader=name)
    assert said in str(error.value)


def test_a_missing_reader_is_refused_where_none_is_installed():
    with pytest.raises(ReaderError, match="There is no reader 'mine'"):
        understand("a guard", reader="mine")


def test_bytes_are_no_prompt():
    with pytest.raises(ConceptError):
        understand(b"no knife")  # pyright: ignore
