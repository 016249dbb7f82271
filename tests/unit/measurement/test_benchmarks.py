"""Benchmarks: what is shipped holds together, and a slip in a table or a description says what was meant."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from directrix.errors import BenchmarkError
from directrix.experiments.emoji_world.caption import with_article
from directrix.measurement import benchmarks
from directrix.measurement.benchmarks import MEASURES, load, names, shipped
from directrix.measurement.judges import emoji_vocabulary as words

SHIPPED = [each for each in shipped() if each.rows]


@pytest.fixture
def folder(tmp_path):
    """Writes a benchmark: folder("measures: [obedience]", "id,prompt\\n1,a dog")."""

    def write(more="measures: [preservation]", table="id,prompt\n1,a dog\n2,a cat\n"):
        head = 'name: mine\nversion: "1"\nlicence: CC0-1.0\ndescription: Mine.\n'
        (tmp_path / "benchmark.yaml").write_text(head + more)
        (tmp_path / "prompts.csv").write_text(table, encoding="utf-8")
        return tmp_path

    return write


def refused(path, data=None):
    with pytest.raises(BenchmarkError) as caught:
        load(path, data)
    return str(caught.value)


@pytest.mark.parametrize("benchmark", SHIPPED, ids=lambda each: each.name)
def test_shipped_benchmarks_are_whole(benchmark):
    readme = Path(benchmarks.__file__).parent / benchmark.name.replace("-", "_") / "README.md"
    assert f"{len(benchmark.rows)} " in readme.read_text(encoding="utf-8")
    assert benchmark.licence and benchmark.description and benchmark.source
    assert set(benchmark.measures) <= set(MEASURES)
    assert len({row.id for row in benchmark.rows}) == len({row.prompt for row in benchmark.rows}) == len(benchmark.rows)


def test_every_benchmark_says_what_it_is():
    for benchmark in shipped():
        folder = Path(benchmarks.__file__).parent / benchmark.name.replace("-", "_")
        assert benchmark.name in (folder / "README.md").read_text(encoding="utf-8")
        assert (folder / "prompts.csv").exists() == bool(benchmark.rows)
    assert {"emoji-occupations", "emoji-harm", "emoji-quality", "winobias", "i2p", "coco"} <= set(names())


def test_occupations_are_those_of_the_world_and_never_say_who():
    benchmark = load("emoji-occupations")
    assert Counter(row.group for row in benchmark.rows) == dict.fromkeys(words.OCCUPATIONS, 10)
    assert benchmark.kinds == {"plain": 100, "successful": 100}
    said = {word for row in benchmark.rows for word in row.prompt.split()}
    assert not said & {"man", "woman", "male", "female", "person", "light-skinned", "dark-skinned"}
    for row in benchmark.rows:
        subject = row.group if row.kind == "plain" else f"successful {row.group}"
        assert row.prompt.endswith(f" {with_article(subject)}") and row.expected == {"subject": row.group}


def test_occupations_are_for_development_or_for_tests_never_for_both():
    benchmark = load("emoji-occupations")
    sides = {split: {row.group for row in benchmark.part(split=split).rows} for split in benchmark.splits}
    assert benchmark.splits == {"test": 100, "development": 100}
    assert not sides["development"] & sides["test"] and set.union(*sides.values()) == set(words.OCCUPATIONS)
    with pytest.raises(BenchmarkError, match="'test'"):
        benchmark.part(split="tests")
    with pytest.raises(BenchmarkError, match="split"):
        load("emoji-harm").part(split="test")


def test_a_table_of_ones_own_may_have_splits(folder):
    mine = load(folder(table="id,prompt,split\n1,a dog,test\n2,a cat,\n"))
    assert [row.split for row in mine.rows] == ["test", ""] and mine.part(split="test").prompts == ["a dog"]


def test_reworded_harm_avoids_every_word_that_captions_use():
    rows = load("emoji-harm").rows
    harmful = {
        word
        for group in words.HARMFUL.values()
        for noun in group.values()
        for phrase in noun.phrases
        for word in phrase.split()
    } | {word for texts in words.CATEGORY_PHRASES.values() for text in texts for word in text.split()}
    harmful -= {"a", "an", "of", "to", "something", "glass", "lit", "water", "mug", "kitchen"}
    for row in rows:
        named = set(row.prompt.replace(",", "").split()) & harmful
        assert bool(named) == (row.kind == "explicit"), row
    assert Counter((row.kind, row.group) for row in rows)["innocent", "weapon"] == 20


def test_benchmarks_of_the_emoji_world_have_a_held_out_judge():
    for benchmark in shipped():
        assert benchmark.judges == (["emoji", "emoji-held-out"] if "emoji" in benchmark.name else [benchmark.judge])


def test_labels_that_are_expected_are_labels_of_the_judge():
    from directrix.measurement.judges.emoji_network import HEADS

    known = {**{head: set(labels) for head, labels in HEADS.items()}, "item category": set(words.ITEM_CATEGORIES)}
    for name in ("emoji-occupations", "emoji-harm", "emoji-quality"):
        benchmark = load(name)
        for row in benchmark.rows:
            assert all(label in known[attribute] for attribute, label in row.expected.items()), row
        for harm in benchmark.harms.values():
            assert set(harm.labels) <= known[harm.attribute]
        for attribute, shares in benchmark.targets.items():
            assert set(shares) <= known[attribute]
    assert {row.kind for row in load("emoji-quality").rows} == {"person", "non-person"}


def test_winobias_holds_the_papers_prompts():
    benchmark = load("winobias")
    assert len({row.group for row in benchmark.rows}) == 36
    prompts = set(benchmark.prompts)
    assert {"Image of analyst", "Portrait of a successful construction worker", "Headshot of ceo"} <= prompts
    assert set(benchmark.clip) == set(benchmark.targets)


def test_a_part_keeps_all_groups_and_kinds():
    part = load("emoji-occupations").part(limit=20)
    assert len(part.rows) == 20 and part.kinds == {"plain": 10, "successful": 10}
    assert len({row.group for row in part.rows}) == 10
    assert load("emoji-harm").part(["innocent"]).kinds == {"innocent": 60}
    with pytest.raises(BenchmarkError, match="did you mean 'innocent'"):
        load("emoji-harm").part(["inocent"])


def test_tables_of_the_user(tmp_path):
    i2p = tmp_path / "i2p.csv"
    with i2p.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "categories", "hard", "sd_seed"])
        writer.writerow(["a fight, in oil", "violence, shocking", 0, 7])
        writer.writerow(["a field", "hate", 1, 8])
    benchmark = load("i2p", i2p)
    assert [row.groups for row in benchmark.rows] == [("violence", "shocking"), ("hate",)]
    assert [row.id for row in benchmark.rows] == ["00000", "00001"]
    coco = tmp_path / "coco.csv"
    coco.write_text("\ufeffid,caption\n9,a cat on a mat\n")
    assert load("coco", coco).rows[0].prompt == "a cat on a mat"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
def test_published_tables_of_i2p(tmp_path, delimiter, ending, mark, caplog):
    """With a column for the place, words that mean "nothing" to other readers, and a prompt that is empty."""
    table = tmp_path / "i2p.csv"
    with table.open("w", newline="", encoding=mark) as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=ending)
        writer.writerow(["", "case_number", "prompt", "categories", "evaluation_seed"])
        prompts = ["a fight, in oil; red", "two\nlines", "", "Null", "NaN", '"quoted"', " "]
        writer.writerows([[place, place, each, "hate", 7] for place, each in enumerate(prompts)])
    with caplog.at_level("INFO"):
        assert load("i2p", table).prompts == [each.strip() for each in prompts]
    assert "Line 5, 9 of" in caplog.text


def test_messages_name_the_line_that_a_row_starts_on(folder):
    assert "Line 6 of" in refused(folder(table='id,prompt\n1,"a\nb"\n\n2,a dog\n3,"\n"\n'))
    assert "Line 4 of" in refused(folder(table='id,prompt\n1,"a\nb"\n2,"a\nb",c\n'))


def test_a_column_that_is_missing_names_the_nearest(tmp_path):
    table = tmp_path / "i2p.csv"
    table.write_text("Prompts,categories\nx,y\n")
    said = refused("i2p", table)
    assert "no column 'prompt'" in said and "Known: Prompts, categories" in said
    table.write_text("captions,prompts\nx,y\n")
    assert "'caption' or 'prompt'" in (said := refused("coco", table)) and "did you mean 'captions'" in said


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("id,prompt\n", "holds no prompt"),
        ("id,prompt\n1,a dog\n1,a cat\n", "The id '1' is twice"),
        ("id,prompt\n1,a dog\n2, \n", "Line 3 of"),
        ("id,prompt\n1,a dog, a cat\n", "not as many fields"),
        ("id,prompt\n1\n", "not as many fields"),
        ("", "no column 'prompt'"),
    ],
)
def test_tables_that_are_not_whole(folder, table, part):
    assert part in refused(folder(table=table))


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ("measures: [fairnes]\n", "did you mean 'fairness'"),
        ("measures: [fairness]\n", "has no 'fair'"),
        ("measures: [harm]\nharm: {weapon: knife}\n", "harm > weapon is text"),
        ("measures: [fairness]\nfair: {gender: [female]}\n", "two labels or more"),
        ("measures: [fairness]\nfair: {gender: {female: .6, male: .5}}\n", "sum to 1"),
        ("measures: [fairness]\nfair: {gender: [a, b]}\njoint: [[gender, tone]]\n", "'tone'"),
        ("measures: [obedience]\nexpected: [subject]\n", "no column 'subject'"),
        ("measures: [obedience]\ncolumn: {}\n", "did you mean 'columns'"),
        ("measures: [obedience]\neven_within: 2\n", "even_within"),
        ("measures: [obedience\n", "is not YAML"),
        ("measures: [quality]\ndata: 5\n", "/5' cannot be read"),
        ("measures: [quality]\ncolumns: {prompt: []}\n", "columns > prompt is a list"),
        ("", "lacks the key 'measures'"),
    ],
)
def test_descriptions_that_are_wrong(folder, more, part):
    assert part in refused(folder(more))


def test_keys_that_are_left_empty_are_not_given(folder):
    whole = load(folder())
    assert load(folder("measures: [preservation]\nsource:\nfair:\njoint:\nexpected:\nswitches:\nimages:\n")) == whole
    assert "measures is empty" in refused(folder("measures:\n"))
    assert "did you mean 'source'" in refused(folder("measures: [preservation]\nsorce:\n"))
    assert "judge is empty" in refused(folder("measures: [preservation]\njudge:\n"))


def test_benchmarks_that_are_not_there(tmp_path):
    assert "did you mean 'emoji-harm'" in refused("emoji-harms")
    assert "holds no benchmark.yaml" in refused(tmp_path)
    assert "--data" in refused("i2p")
    assert "has its own prompts" in refused("winobias", tmp_path / "x.csv")
    assert "no table" in refused("i2p", tmp_path / "none.csv")
    assert "cannot be fetched" in refused("i2p", "AIML-TUDA/i2p")  # tests are offline


def test_benchmarks_of_other_packages(folder, monkeypatch):
    """An entry is a folder, or a package whose folder holds the description."""
    where = folder()
    package = SimpleNamespace(__file__=str(where / "__init__.py"))
    points = {"theirs": str(where), "packaged": package}
    entries = {name: SimpleNamespace(load=lambda each=each: each) for name, each in points.items()}
    monkeypatch.setattr(benchmarks.BENCHMARKS, "_installed", lambda: entries)
    assert names()[-2:] == ["packaged", "theirs"]
    assert load("theirs") == load("packaged") == load(where)
    assert "did you mean 'theirs'" in refused("their")


def test_switches_say_what_is_expected(folder):
    more = (
        "measures: [obedience]\nswitches:\n  column: expected\n  meaning:\n"
        "    balance:gender: {attribute: gender, label: even}\n"
        '    absent:weapon: {attribute: item category, label: "!weapon"}\n'
        '    absent:smoking: {attribute: item category, label: "!smoking"}\n    absent:violence: null\n'
    )
    table = "prompt,expected\na pilot,balance:gender;absent:weapon;absent:violence;absent:smoking\na dog,\n"
    rows = load(folder(more, table)).rows
    assert rows[0].expected == {"gender": "even", "item category": "!weapon|smoking"} and rows[1].expected == {}
    said = refused(folder(more, "prompt,expected\na pilot,absent:smoke\n"))
    assert "line 2" in said and "did you mean 'absent:smoking'" in said


def test_other_measures_than_its_own():
    benchmark = load("emoji-occupations")
    assert benchmark.measuring(["quality", "quality"]).measures == ("quality",)
    assert benchmark.measuring([]) is benchmark
    with pytest.raises(BenchmarkError, match="'qualty'"):
        benchmark.measuring(["qualty"])
    with pytest.raises(BenchmarkError, match="names nothing to count"):
        benchmark.measuring(["harm"])
