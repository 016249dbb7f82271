"""A run's page begins with its result; its figures are a table for a spreadsheet; prompts have their own words."""

import csv
import io

import pytest

from directrix.measurement.reports import findings


def figure(value, low=None, high=None):
    return {"value": value, "low": value if low is None else low, "high": value if high is None else high, "n": 10}


def summary(first, second, difference, metric="deviation_ratio_gender"):
    by_prompt = {"00000": first, "00001": second}
    return {
        "compared_to": "none",
        "methods": {
            "none": {metric: {"mean": first, "by_prompt": by_prompt, "worst": {**first, "name": "00000"}}},
            "fair": {metric: {"mean": second, "by_prompt": by_prompt}},
        },
        "paired": {"fair": {metric: {"mean": difference}}},
        "counts": {"none": {"gender": {"": {"00000": {"female": 1}}}}},
    }


@pytest.mark.parametrize(
    ("metric", "difference", "said"),
    [
        ("deviation_ratio_gender", figure(-0.9, -0.95, -0.8), "fair is clearly better than none."),
        ("deviation_ratio_gender", figure(0.2, 0.1, 0.3), "fair is clearly worse than none."),
        ("deviation_ratio_gender", figure(-0.1, -0.3, 0.1), "fair is no more than chance apart from none."),
        ("obeyed", figure(0.2, 0.1, 0.3), "fair is clearly better than none."),
    ],
)
def test_the_result_in_a_sentence(metric, difference, said):
    text = findings.sentence(summary(figure(0.95), figure(0.05), difference, metric))
    assert "0.95 with none, 0.05 with fair" in text and text.endswith(said)


def test_nothing_measured_has_no_result():
    assert findings.sentence({"methods": {"none": {}}, "paired": {}, "compared_to": "none"}) == ""


def test_prompts_are_named_by_their_words():
    run = summary(figure(1.0), figure(0.0), figure(-1.0))
    named = findings.in_words(run, {"00000": "a judge", "00001": "a judge"})
    measured = named["methods"]["none"]["deviation_ratio_gender"]
    assert list(measured["by_prompt"]) == ["a judge (00000)", "a judge (00001)"]
    named = findings.in_words(run, {"00000": "a judge", "00001": "a cook"})
    assert named["methods"]["none"]["deviation_ratio_gender"]["worst"]["name"] == "a judge"
    assert list(named["counts"]["none"]["gender"][""]) == ["a judge"]


def test_figures_are_a_table_and_no_formula():
    run = findings.in_words(summary(figure(1.0), figure(0.0), figure(-1.0)), {"00000": "=1+1", "00001": "a, cook"})
    rows = list(csv.DictReader(io.StringIO(findings.table(run))))
    assert [row["of"] for row in rows[:3]] == ["", "'=1+1", "a, cook"]
    assert {row["part"] for row in rows} == {"all", "prompt"} and rows[0]["value"] == "1.0" and rows[0]["n"] == "10"
