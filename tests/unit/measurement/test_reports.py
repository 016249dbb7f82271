"""The demo's figures, page, chart and tables, on pictures and labels made up here."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, OutputError
from directrix.experiments.demo import demo, sides, subject_of
from directrix.experiments.tables import tables
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.evaluation.estimates import Evaluated
from directrix.measurement.evaluation.fairness import fairness
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.evaluation.measures import obedience
from directrix.measurement.reports import charts, page
from directrix.measurement.reports.leakage import CATEGORIES

GENDERS = CATEGORIES["gender"]
TONES_OR_NONE = (*CATEGORIES["tone"], None)
PROMPTS = ("a pilot", "a health worker <b>")


class Verdict(NamedTuple):
    label: str | None
    confidence: float = 1.0
    reason: str | None = None


class Judge:
    """Sees light men in the first eight images after a look, then as many women as men, of every tone or none."""

    name, config = "made_up", {"judge": "made_up"}

    def __init__(self):
        self.seen = 0

    def label(self, images):
        rows = []
        for _ in images:
            labels = {"subject": "pilot", "gender": "male", "tone": "light", "style": "flat"}
            if self.seen >= 9:
                labels |= {"gender": GENDERS[self.seen % 2], "tone": (*CATEGORIES["tone"], None)[self.seen % 4]}
            rows.append({key: Verdict(label) for key, label in labels.items()})
            self.seen += 1
        return rows


def labels(gender, tone, subject):
    return {"gender": gender, "tone": tone, "subject": subject}


def summary(seen):
    """Of two prompts for pilots, each with these labels ((gender, tone, subject), ...) by side."""
    rows = tuple(Row(prompt, prompt, expected={"subject": "pilot"}) for prompt in PROMPTS)
    targets = {name: dict.fromkeys(each, 1 / len(each)) for name, each in CATEGORIES.items()}
    benchmark = Benchmark("demo", "1", "", "", rows, ("fairness", "obedience"), targets=targets)
    found = {"prompts": 2, "images_per_prompt": len(seen["steered"]), "methods": {}, "counts": {}}
    for side, given in seen.items():
        pictures = [
            EvaluatedImage(row, (place, index), Path(), "", labels(*map(Verdict, each)))
            for place, row in enumerate(rows)
            for index, each in enumerate(given)
        ]
        of = Evaluated(pictures, benchmark, ["gender", "tone", "subject"])
        fair, obeyed = fairness(of), obedience(of)
        found["methods"][side] = {**fair.figures, **obeyed.figures}
        found["counts"][side] = fair.counts
    return {**found, **sides(found)}


@pytest.fixture
def figures():
    after = [(GENDERS[i % 2], TONES_OR_NONE[i], "pilot") for i in range(3)]
    return summary({"unsteered": [("male", "light", "pilot")] * 4, "steered": [*after, (None, None, None)]})


def test_summary_holds_the_figures_of_both_sides(figures):
    found = figures
    before, after = found["unsteered"], found["steered"]
    assert before["deviation_ratio"]["gender"]["value"] == 1.0
    assert before["deviation_ratio"]["tone"]["value"] == 1.0
    assert before["subject_accuracy"]["value"] == 1.0
    # Two women and a man: |2/3 - 1/2| / (1/2). One of each tone. The unscored one counts in the subject only.
    assert after["deviation_ratio"]["gender"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert after["deviation_ratio"]["gender"]["n"] == 6
    assert after["deviation_ratio"]["tone"]["value"] == 0.0
    assert after["subject_accuracy"] == {"value": 0.75, "n": 8, **_ends(after["subject_accuracy"])}
    assert after["images"] == 8
    assert after["unscored"] == {"subject": 2, "gender": 2, "tone": 2}
    assert found["counts"]["steered"]["gender"][""]["a pilot"] == {"female": 2, "male": 1, "unscored": 1}
    json.dumps(found, allow_nan=False)


def _ends(figure):
    return {"low": figure["low"], "high": figure["high"]}


def test_summary_without_any_label():
    found = summary({"unsteered": [(None, None, None)], "steered": [(None, None, None)]})
    assert found["steered"]["deviation_ratio"] == {"gender": None, "tone": None}
    assert found["steered"]["subject_accuracy"]["value"] == 0.0


@pytest.mark.parametrize(
    ("prompt", "subject"), [("a pilot", "pilot"), ("An office worker", "office worker"), ("judge", "judge"), ("a", "a")]
)
def test_subjects_are_named_as_the_judge_does(prompt, subject):
    assert subject_of(prompt) == subject


class _Page(HTMLParser):
    """Collects tags, checks that they are closed in order."""

    EMPTY = ("meta", "link", "img", "line", "rect", "br")

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


SMALL = {"prompts": PROMPTS, "images_per_prompt": 4, "batch_size": 4, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def run(pipeline, tmp_path_factory):
    """A whole demo on the tiny model: two prompts, four pictures."""
    labels, done = [], []
    folder = tmp_path_factory.mktemp("demo") / "page"

    class Bar:
        def __init__(self, label):
            labels.append(label)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def advance(self, n=1):
            done.append(n)

    found = demo(folder, pipeline=pipeline, judge=Judge(), progress=lambda total, label: Bar(label), **SMALL)
    return folder, found, labels


def test_demo_writes_page_summary_and_directions(run):
    folder, found, _ = run
    names = {re.sub(r"verdicts-\w+", "verdicts", path.name) for path in folder.iterdir() if path.name != ".lock"}
    values = ("woman", "man", *(f"{tone}-skinned" for tone in CATEGORIES["tone"]))
    files = {f"{value}.safetensors" for value in values}
    pages = {"index.html", "images-1.html", "summary.json", "overview.png", *files}
    assert names == {*pages, "pictures", "manifest.jsonl", "run.json", "verdicts.jsonl"}
    assert json.loads((folder / "summary.json").read_text()) == found
    for side in ("unsteered", "steered"):
        assert found[side]["images"] == 8
        for figure in (*found[side]["deviation_ratio"].values(), found[side]["subject_accuracy"]):
            assert set(figure) == {"value", "low", "high", "n"}
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert found["unsteered"]["deviation_ratio"]["gender"]["value"] == 1.0
    assert found["steered"]["deviation_ratio"]["gender"]["value"] == 0.0
    assert found["seconds"] >= 0
    recipe = Direction.load(folder / "woman.safetensors").recipe
    assert recipe["learned_together"] == list(values)
    assert recipe["preserved"] == len(CATEGORIES["tone"])
    assert found["demo"]["directions"] == list(values)


def test_demo_shows_progress_of_every_stage(run):
    said = " | ".join(run[2])
    for stage in ("gender: ", "skin tone: ", "unsteered: ", "steered: ", "Judging"):
        assert stage in said


def test_page_is_self_contained_and_well_formed(run):
    folder, _, _ = run
    text = (folder / "index.html").read_text()
    parsed = _Page()
    parsed.feed(text)
    assert parsed.open == []
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert len(images) == 16
    assert all(attrs["src"].startswith("data:image/png;base64,") and attrs["alt"] for attrs in images)
    # Nothing is loaded from elsewhere: no link but the empty icon, no script, no address.
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert [attrs["href"] for tag, attrs in parsed.tags if tag == "link"] == ["data:,"]
    assert "a health worker &lt;b&gt;" in text and "a health worker <b>" not in text
    # Gender, skin tone, and what the prompt asks for.
    assert len([tag for tag, _ in parsed.tags if tag == "svg"]) == 3


def test_page_says_where_the_judge_scored_nothing(run, tmp_path):
    nothing = summary({"unsteered": [(None, None, None)], "steered": [(None, None, None)]})
    (tmp_path / "summary.json").write_text(json.dumps({**run[1], **nothing}))
    text = page.report(tmp_path).read_text()
    assert "not scored" in text and "None" not in text and "nan" not in text


def test_a_demo_that_is_called_again_draws_nothing(run, pipeline):
    folder, found, _ = run
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".png", ".safetensors")}
    del files[folder / "overview.png"]
    again = demo(folder, pipeline=pipeline, judge=Judge(), **SMALL)
    assert again["methods"] == found["methods"]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_demo_refuses_before_it_draws(tmp_path, pipeline):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        demo(tmp_path / "file", pipeline=pipeline, judge=Judge())
    with pytest.raises(DirectrixError, match="two or more"):
        demo(tmp_path / "page", pipeline=pipeline, judge=Judge(), prompts=["a pilot"])


def test_chart_draws_values_to_scale():
    rows = [charts.Group("pilots & cooks", [{"value": 0.5}, {"value": 1.0, "low": 0.8, "high": 1.0}])]
    rows.append(charts.Group("none", [None, {"value": 0.0}]))
    svg = charts.grouped_bars("Gender", rows, ["before", "after"])
    assert svg == charts.grouped_bars("Gender", rows, ["before", "after"])
    bars = re.findall(r'd="M ([\d.]+) [^"]*?L ([\d.]+) [^"]*" style="fill: var\(--(s\d)\)', svg)
    widths = [(colour, float(right) - float(left)) for left, right, colour in bars]
    assert [colour for colour, _ in widths] == ["s0", "s1", "s1"]
    whole = widths[1][1]
    assert [width / whole for _, width in widths] == pytest.approx([0.5, 1.0, 0.004], abs=1e-3)
    assert ">pilots &amp; cooks<" in svg
    assert "not scored" in svg


def test_dollar_signs_in_a_chart_are_no_formula():
    name = "$5 to $10"
    assert f">{name}<" in charts.grouped_bars("Prices", [charts.Group(name, [{"value": 0.5}])], ["before"])
    effect = {"value": 0.5, "low": 0.4, "high": 0.6}
    rows = [{"evaluations": number, "effect": effect} for number in (10, 100)]
    curve = charts.cost_curve({name: rows}, f"Of {name}")
    assert f">{name}<" in curve and f">Of {name}<" in curve


README = """# Title
<!-- table demo: written by `directrix report tables` from results/demo.json -->
old
<!-- end of table -->
between
<!-- table world: written by `directrix report tables` from results/world.json -->
not measured yet
<!-- end of table -->
"""


def test_tables_are_written_from_results(tmp_path, figures):
    file, results = tmp_path / "README.md", tmp_path / "results"
    results.mkdir()
    file.write_text(README)
    (results / "demo.json").write_text(json.dumps(figures))
    assert tables([file], results, check=True) == [file]
    assert file.read_text() == README
    assert tables([file], results) == [file]
    text = file.read_text()
    assert "| subject accuracy | 1.00 [" in text and "old" not in text
    assert "not measured yet" in text and "between" in text
    assert tables([file], results) == []

    figure = {"value": 0.9876, "low": 0.97, "high": 0.99, "n": 2000}
    (results / "world.json").write_text(json.dumps({"judge": {"gender": figure}, "vae_psnr": figure, "note": "x"}))
    assert tables([file], results) == [file]
    text = file.read_text()
    assert "| judge.gender | 0.99 [0.97, 0.99] | 2,000 |" in text and "| vae_psnr |" in text


def test_checked_tables_fail_while_one_is_out_of_date(tmp_path, figures, capsys):
    from directrix.cli import main

    file = tmp_path / "README.md"
    file.write_text(README)
    (tmp_path / "demo.json").write_text(json.dumps(figures))
    command = ["report", "tables", str(file), "--results", str(tmp_path)]
    assert main([*command, "--check"]) == 2
    said = capsys.readouterr()
    assert f"out of date: {file}" in said.out and "1 of 1 files" in said.err and file.read_text() == README
    assert main(command) == 0 and main([*command, "--check"]) == 0


def test_tables_refuse_what_they_do_not_know(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(README.replace("table demo", "table demos"))
    with pytest.raises(DirectrixError, match="did you mean 'demo'"):
        tables([file], tmp_path)
    file.write_text(README)
    (tmp_path / "demo.json").write_text("{}")
    with pytest.raises(DirectrixError, match=r"demo\.json"):
        tables([file], tmp_path)
    with pytest.raises(OutputError, match=r"absent\.md"):
        tables([tmp_path / "absent.md"], tmp_path)
