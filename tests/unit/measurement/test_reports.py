"""The demo's figures, page, chart and tables, on pictures and labels made up here."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import NamedTuple

import pytest
from PIL import Image

from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, OutputError
from directrix.experiments.demo import page
from directrix.experiments.demo.run import demo, quotas, subject_of
from directrix.experiments.tables import tables
from directrix.measurement.reports import bar_chart
from directrix.measurement.reports.before_after import CATEGORIES, Comparison, Picture, summary

GENDERS = CATEGORIES["gender"]
TONES_OR_NONE = (*CATEGORIES["tone"], None)
PROMPTS = ("a pilot", "a health worker <b>")


class Verdict(NamedTuple):
    label: str | None
    confidence: float = 1.0
    reason: str | None = None


class Judge:
    """Sees light men in the first eight pictures, then as many women as men, of every tone or none."""

    def __init__(self):
        self.seen = 0

    def label(self, images):
        rows = []
        for _ in images:
            labels = {"subject": "pilot", "gender": "male", "tone": "light", "style": "flat"}
            if self.seen >= 8:
                labels |= {"gender": GENDERS[self.seen % 2], "tone": (*CATEGORIES["tone"], None)[self.seen % 4]}
            rows.append({key: Verdict(label) for key, label in labels.items()})
            self.seen += 1
        return rows


def picture(number, gender, tone, subject="pilot", steered=()):
    labels = {"gender": gender, "tone": tone, "subject": subject}
    return Picture(Image.new("RGB", (8, 8), (number, 0, 0)), number, steered, labels)


@pytest.fixture
def comparisons():
    before = [picture(i, "male", "light") for i in range(4)]
    after = [picture(i, GENDERS[i % 2], TONES_OR_NONE[i], steered=("female",)) for i in range(4)]
    after[3] = picture(3, None, None, None)
    return [Comparison(prompt, "pilot", before, after) for prompt in PROMPTS]


def test_summary_holds_the_figures_of_both_sides(comparisons):
    found = summary(comparisons)
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
    assert after["by_prompt"]["a pilot"]["counts"]["gender"] == {"female": 2, "male": 1}
    json.dumps(found, allow_nan=False)


def _ends(figure):
    return {"low": figure["low"], "high": figure["high"]}


def test_summary_without_any_label():
    rows = [picture(0, None, None, None)]
    found = summary([Comparison("a pilot", "pilot", rows, rows)])
    assert found["steered"]["deviation_ratio"] == {"gender": None, "tone": None}
    assert found["steered"]["subject_accuracy"]["value"] == 0.0


@pytest.mark.parametrize("images", [1, 6, 20])
def test_quotas_are_even_and_follow_the_seed(images):
    rows = quotas(6, images, seed=0)
    assert len(rows) == 6 * images
    assert rows == quotas(6, images, seed=0)
    assert images == 1 or rows != quotas(6, images, seed=1)
    for attribute, categories in CATEGORIES.items():
        for prompt in range(6):
            mine = rows[prompt * images : (prompt + 1) * images]
            found = Counter(row[attribute] for row in mine)
            assert max(found.values()) - min(found[category] for category in categories) <= 1
        # Six prompts take turns in who is one ahead, so the whole is exactly even.
        assert set(Counter(row[attribute] for row in rows).values()) == {6 * images // len(categories)}


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

    found = demo(
        folder,
        pipeline=pipeline,
        judge=Judge(),
        prompts=PROMPTS,
        images_per_prompt=4,
        images_per_concept=2,
        calibrated=False,
        batch_size=4,
        num_inference_steps=2,
        progress=lambda total, label: Bar(label),
    )
    return folder, found, labels


def test_demo_writes_page_summary_and_directions(run):
    folder, found, _ = run
    names = {path.name for path in folder.iterdir()}
    tones = {f"{tone}-skinned.safetensors" for tone in CATEGORIES["tone"]}
    assert names == {"index.html", "summary.json", "overview.png", "woman.safetensors", "man.safetensors", *tones}
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
    assert recipe["learned_together"] == ["woman", "man", *(f"{tone}-skinned" for tone in CATEGORIES["tone"])]
    assert recipe["preserved"] == len(tones)


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
    assert len([tag for tag, _ in parsed.tags if tag == "svg"]) == 2


def test_page_says_where_the_judge_scored_nothing(run):
    rows = [picture(0, None, None, None)]
    whole = [Comparison(prompt, "pilot", rows, rows) for prompt in PROMPTS]
    text = page.page({**run[1], **summary(whole)}, whole)
    assert "not scored" in text and "None" not in text and "nan" not in text


def test_demo_refuses_before_it_draws(tmp_path, pipeline):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        demo(tmp_path / "file", pipeline=pipeline, judge=Judge())
    with pytest.raises(DirectrixError, match="two or more"):
        demo(tmp_path / "page", pipeline=pipeline, judge=Judge(), prompts=["a pilot"])


def test_chart_draws_values_to_scale():
    row = bar_chart.Row("pilots & cooks", bar_chart.Bar(0.5), bar_chart.Bar(1.0, 0.8, 1.0))
    svg = bar_chart.bars("Gender", [row, bar_chart.Row("none", bar_chart.Bar(None), bar_chart.Bar(0.0))])
    widths = re.findall(r'<rect class="(\w+)"[^>]*width="([\d.]+)%', svg)
    assert widths == [("before", "43.00"), ("after", "86.00"), ("after", "0.40")]
    assert "pilots &amp; cooks" in svg
    assert "not scored" in svg
    assert svg.count('class="whisker"') == 1


README = """# Title
<!-- table demo: written by `directrix report tables` from results/demo.json -->
old
<!-- end of table -->
between
<!-- table world: written by `directrix report tables` from results/world.json -->
not measured yet
<!-- end of table -->
"""


def test_tables_are_written_from_results(tmp_path, comparisons):
    file, results = tmp_path / "README.md", tmp_path / "results"
    results.mkdir()
    file.write_text(README)
    (results / "demo.json").write_text(json.dumps(summary(comparisons)))
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


def test_checked_tables_fail_while_one_is_out_of_date(tmp_path, comparisons, capsys):
    from directrix.cli import main

    file = tmp_path / "README.md"
    file.write_text(README)
    (tmp_path / "demo.json").write_text(json.dumps(summary(comparisons)))
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
