"""Evaluation end to end on a tiny random pipeline: what is drawn, judged once, measured, stored and resumed."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from directrix import progress
from directrix.errors import DirectrixError
from directrix.interventions.steering import Steering
from directrix.measurement import metrics
from directrix.measurement.benchmarks import Benchmark, Harm, Row
from directrix.measurement.evaluation import evaluate, judgements
from directrix.measurement.evaluation.images import folder_name
from directrix.measurement.evaluation.measures import holds
from directrix.measurement.judges import Verdict

EVEN = {"female": 0.5, "male": 0.5}
TONES = {"light": 0.25, "brown": 0.25, "dark": 0.5}


class Judge:
    """Labels that follow from the pixels; counts how many pictures it looked at."""

    name = "pixel judge"

    def __init__(self, unsure: bool = False, **config: Any) -> None:
        self.config = {"judge": self.name, "unsure": unsure, **config}
        self.unsure = unsure
        self.seen = 0

    def label(self, images):
        self.seen += len(images)
        return [self._one(int(np.asarray(image, dtype=np.int64).sum())) for image in images]

    def _one(self, total):
        gender = Verdict(None, 0.1, "unsure") if self.unsure and total % 5 == 0 else Verdict("female", 0.9)
        if gender.label and total % 3:
            gender = Verdict("male", 0.8)
        return {
            "gender": gender,
            "tone": Verdict(("light", "brown", "dark")[total % 3], 0.9),
            "subject": Verdict(("pilot", "judge")[total % 2], 0.9),
            "item category": Verdict(("weapon", "alcohol", "none")[total % 3], 0.7),
        }


class Seer(Judge):
    """Also gives features."""

    def features(self, images):
        return np.stack([np.asarray(image, dtype=np.float32).mean(axis=(0, 1)) + 1 for image in images])


class HeldOut(Seer):
    """Another opinion, to which nothing is fitted."""

    name, held_out = "held-out judge", True

    def _one(self, total):
        return {**super()._one(total), "gender": Verdict("female", 1.0)}


ROWS = tuple(
    Row(f"{group}-{number}-{kind}", f"{frame} {group}", group, kind, {"subject": group})
    for kind in ("plain", "successful")
    for group in ("pilot", "judge")
    for number, frame in enumerate(("a photo of a", "a drawing of a"))
)
BENCHMARK = Benchmark(
    name="tiny",
    version="3",
    licence="CC0-1.0",
    description="Tiny.",
    rows=ROWS,
    measures=("fairness", "harm", "obedience", "quality", "preservation"),
    targets={"gender": EVEN, "tone": TONES},
    joint=(("gender", "tone"),),
    harms={"weapon": Harm("item category", ("weapon",)), "alcohol": Harm("item category", ("alcohol",))},
)


@pytest.fixture(scope="module")
def methods(make_direction):
    return {"none": (), "woman": Steering({make_direction("woman", scale=8.0): 1.0}), "still": Steering({})}


@pytest.fixture
def run(pipeline, methods, tmp_path):
    def start(judges=None, benchmark=BENCHMARK, images=3, **options):
        options = {"num_inference_steps": 1, "folder": tmp_path / "run", "methods": methods, **options}
        chosen = options.pop("methods")
        return evaluate(pipeline, benchmark, chosen, judges or [Seer()], images, 0, **options)

    return start


def rows_of(summary, folder):
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def figures(value):
    """All figures below a value."""
    if isinstance(value, dict):
        if {"value", "low", "high", "n"} <= set(value):
            yield value
        else:
            for each in value.values():
                yield from figures(each)


def test_a_run_holds_all_that_a_reader_needs(run, tmp_path):
    summary = run()
    folder = tmp_path / "run"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert {"benchmark", "version", "methods", "paired", "unscored", "provenance"} <= set(summary)
    assert (summary["benchmark"], summary["version"]) == ("tiny", "3")
    assert list(summary["methods"]) == ["none", "woman", "still"]
    assert set(summary["paired"]) == {"woman", "still"}
    assert {"model", "seed", "judges", "versions", "methods", "reference"} <= set(summary["provenance"])
    assert summary["provenance"]["judges"][0]["unsure"] is False
    assert summary["provenance"]["reference"] == {"source": "the unsteered model, seed 1", "pictures": 24}
    assert summary["not_measured"] == {"clip_score": "no judge reads prompts; a CLIP judge does"}
    manifest = rows_of(summary, folder)
    assert Counter(row["method"] for row in manifest) == {"none": 24, "woman": 24, "still": 24}
    assert all((folder / row["file"]).is_file() and row["prompt_id"] for row in manifest)
    found = list(figures(summary["methods"]))
    assert len(found) > 50
    assert all(each["low"] <= each["value"] <= each["high"] for each in found)


def test_figures_are_those_of_the_metrics(run, tmp_path):
    from PIL import Image

    summary = run()
    judge = Judge()
    labels: dict[str, list[str | None]] = {}
    harms: dict[str, dict[str, list[bool]]] = {"any": {}, "weapon": {}, "alcohol": {}}
    right = []
    for row in rows_of(summary, tmp_path / "run"):
        if row["method"] != "woman":
            continue
        verdict = judge.label([Image.open(tmp_path / "run" / row["file"]).convert("RGB")])[0]
        labels.setdefault(row["group"], []).append(verdict["gender"].label)
        seen = verdict["item category"].label
        for name, rows in harms.items():
            rows.setdefault(row["prompt_id"], []).append(seen in BENCHMARK.harms if name == "any" else seen == name)
        right.append(verdict["subject"].label == row["group"])
    ours = summary["methods"]["woman"]
    expected = metrics.mean_deviation_ratio(labels, list(EVEN))
    assert ours["deviation_ratio_gender"]["mean"] == expected.as_dict()
    worst = metrics.worst_deviation_ratio(labels, list(EVEN)).as_dict()
    assert {key: ours["deviation_ratio_gender"]["worst"][key] for key in worst} == worst
    counts = Counter(label for row in labels.values() for label in row)
    drawn = summary["counts"]["woman"]["gender"]
    assert sum(row["female"] for kind in drawn.values() for row in kind.values()) == counts["female"]
    for name, rows in harms.items():
        assert ours[f"inappropriate_{name}"]["mean"] == metrics.clustered_share(rows).as_dict()
    assert ours["obeys_subject"]["mean"]["value"] == pytest.approx(sum(right) / len(right), abs=1e-4)
    assert set(ours["deviation_ratio_gender"]["by_kind"]) == {"plain", "successful"}


def test_an_intervention_that_changes_nothing_is_seen_to(run):
    summary = run()
    still, woman = summary["methods"]["still"], summary["methods"]["woman"]
    assert still["identical"]["mean"]["value"] == 1.0 and "psnr" not in still
    assert still["feature_distance"]["mean"]["value"] == 0.0
    assert woman["identical"]["mean"]["value"] == 0.0 and 0 < woman["psnr"]["mean"]["value"] < 60
    for metric, change in summary["paired"]["still"].items():
        assert change["mean"]["value"] == change["mean"]["low"] == change["mean"]["high"] == 0, metric
    assert any(change["mean"]["value"] != 0 for change in summary["paired"]["woman"].values())
    assert still["attack_success"]["mean"]["value"] == 1.0 and still["reduction_any"]["mean"]["value"] == 0.0
    assert still["fid"]["value"] == summary["methods"]["none"]["fid"]["value"]


def test_pictures_are_judged_once(run, tmp_path):
    first = Seer()
    summary = run([first])
    # One blank look, and pictures that two methods share are the same file: "still" costs nothing.
    assert first.seen == 1 + 48
    again = Seer()
    second = run([again])
    assert again.seen == 1
    assert second["methods"] == summary["methods"]
    other = Seer(threshold=0.5)
    run([other])
    assert other.seen == 1 + 48
    assert len(list((tmp_path / "run").glob("verdicts-*.jsonl"))) == 2


def test_a_held_out_judge_has_figures_of_its_own(run, tmp_path):
    benchmark = BENCHMARK.measuring(["fairness", "obedience"])
    alone = run([Seer()], benchmark, folder=tmp_path / "alone")["methods"]["woman"]
    for judges in ([Seer(), HeldOut()], [HeldOut(), Seer()]):
        found = run(judges, benchmark)
        # What the first one says stays as it is, wherever the other one stands.
        figures = found["methods"]["woman"]
        assert alone == {name: each for name, each in figures.items() if not name.startswith("held_out.")}
        assert {name.removeprefix("held_out.") for name in figures if name not in alone} == set(alone)
        assert figures["held_out.deviation_ratio_gender"]["mean"]["value"] == 1.0
        assert figures["held_out.deviation_ratio_tone"] == figures["deviation_ratio_tone"]
        assert "held_out.obeyed" in found["paired"]["woman"]
    # By itself it is a judge like others.
    assert set(run([HeldOut()], benchmark)["methods"]["woman"]) == set(alone)


def test_a_judge_that_does_not_say_its_settings_is_asked_anew(run):
    for _ in range(2):
        judge = Judge()
        judge.config = None  # type: ignore[assignment]
        run([judge], benchmark=BENCHMARK.part(limit=2), images=1, methods={"none": ()})
        assert judge.seen == 1 + 2


def test_verdicts_that_were_cut_off_are_judged_again(run, tmp_path):
    summary = run()
    (path,) = (tmp_path / "run").glob("verdicts-*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:10]) + lines[10][:30])
    (features,) = (tmp_path / "run").glob("features-*.npz")
    features.write_bytes(features.read_bytes()[:100])
    judge = Seer()
    assert run([judge])["methods"] == summary["methods"]
    assert judge.seen == 1 + 48 - 10
    assert path.read_text() == "".join(lines)


def test_a_stored_verdict_that_lacks_an_attribute_is_judged_again(run, tmp_path):
    summary = run()
    (path,) = (tmp_path / "run").glob("verdicts-*.jsonl")
    first, *lines = map(json.loads, path.read_text().splitlines())
    del first["verdicts"]["gender"]
    path.write_text("".join(json.dumps(each) + "\n" for each in (first, *lines)))
    judge = Seer()
    assert run([judge])["methods"] == summary["methods"]
    assert judge.seen == 1 + 1


class Stop(Exception):
    pass


def test_a_killed_run_goes_on_where_it_was(run, tmp_path, monkeypatch):
    whole = run(folder=tmp_path / "whole")

    def dying(total, label):
        if label.startswith("woman"):
            raise Stop
        return progress.silent(total, label)

    with pytest.raises(Stop):
        run(progress=dying)
    assert len(list((tmp_path / "run" / "pictures" / "none").glob("*.png"))) == 24
    assert not (tmp_path / "run" / "summary.json").exists()

    class Dies(Seer):
        def label(self, images):
            if self.seen > 20:
                raise Stop
            return super().label(images)

    monkeypatch.setattr(judgements, "CHUNK", 20)
    with pytest.raises(Stop):
        run([Dies()])
    judge = Seer()
    resumed = run([judge])
    assert judge.seen == 1 + 48 - 20
    assert resumed["methods"] == whole["methods"] and resumed["paired"] == whole["paired"]


def test_unscored_pictures_are_counted_and_in_no_share(run):
    summary = run([Judge(unsure=True)], methods={"none": ()})
    ours = summary["methods"]["none"]
    unscored = summary["unscored"]["none"]["gender"]
    assert unscored > 0
    assert ours["deviation_ratio_gender"]["unscored"] == unscored
    assert ours["deviation_ratio_gender"]["mean"]["n"] == 24 - unscored
    assert summary["not_measured"]["fid and kid"] == "no judge gives features of pictures"
    blind = Judge()
    blind._one = lambda total: {"gender": Verdict(None, 0.0, "blind"), "subject": Verdict(None, 0.0, "blind")}  # type: ignore[method-assign]
    blind.config = {"judge": "blind"}
    summary = run([blind], methods={"none": ()})
    assert summary["methods"]["none"]["deviation_ratio_gender"]["mean"] is None
    assert summary["methods"]["none"]["obeys_subject"]["unscored"] == 24
    assert summary["methods"]["none"]["obeys_subject"]["of_scored"] is None
    assert summary["not_measured"]["tone"] == "no judge knows it"


def test_what_cannot_be_is_refused_before_anything_is_drawn(run, tmp_path):
    def refused(part, **options):
        with pytest.raises(DirectrixError, match=part):
            run(**options)

    refused("There is no method", methods={})
    refused("too like", methods={"none": (), "None": ()})
    refused("is empty", methods={"--": ()})
    refused("has interventions", methods={"none": Steering({})})

    class Other(Judge):
        def _one(self, total):
            return {"nudity": Verdict("clean", 1.0)}

    refused("The judges know nudity", judges=[Other()])
    refused("holds no images", reference=tmp_path)
    assert not list(tmp_path.rglob("*.png"))
    run(benchmark=BENCHMARK.part(limit=1), images=1, methods={"none": ()})
    other = Benchmark("other", "1", "CC0-1.0", "Other.", ROWS, ("preservation",))
    refused("holds a run of tiny", benchmark=other)


def test_an_even_mix_is_a_matter_of_the_whole_prompt(run):
    rows = (Row("a", "a pilot", expected={"gender": "even"}), Row("b", "a cook", expected={"subject": "!judge"}))
    benchmark = Benchmark(
        "mix", "1", "CC0-1.0", "Mix.", rows, ("obedience",), targets={"gender": EVEN}, even_within=0.5
    )
    judge = Judge()
    rounds = iter(range(1000))
    judge._one = lambda total: {  # type: ignore[method-assign]
        "gender": Verdict(("female", "male")[next(rounds) % 2], 0.9),
        "subject": Verdict("cook", 0.9),
    }
    judge.config = {"judge": "alternating"}
    ours = run([judge], benchmark=benchmark, images=4, methods={"none": ()})["methods"]["none"]
    assert ours["obeys_gender"]["mean"]["value"] == 1.0 and ours["obeys_gender"]["mean"]["n"] == 4
    assert ours["obeys_subject"]["mean"]["value"] == 1.0
    assert ours["prompts_obeyed"]["mean"] == metrics.proportion(2, 2).as_dict()


def test_expectations():
    assert holds("beer|wine", "wine") and not holds("beer|wine", "cocktail")
    assert holds("!weapon|smoking", "none") and not holds("!weapon|smoking", "smoking")
    assert holds("!weapon", None) is None


def test_names_of_folders():
    assert folder_name("Woman 1.5/../x") == "woman-1.5-..-x" and folder_name("..") == ""


@pytest.mark.world
def test_the_emoji_judge_on_tiny_pictures(run, tmp_path):
    from directrix.measurement.benchmarks import load
    from directrix.measurement.judges.emoji import EmojiJudge

    judge = EmojiJudge.load()
    occupations = load("emoji-occupations").part(limit=4)
    summary = run([judge], benchmark=occupations, images=2)
    assert {"deviation_ratio_gender", "deviation_ratio_tone", "obeys_subject", "identical"} <= set(
        summary["methods"]["woman"]
    )
    for name in ("emoji-harm", "emoji-quality"):
        part = load(name).part(limit=4)
        summary = run([judge], benchmark=part, images=1, folder=tmp_path / name, methods={"none": ()})
        assert summary["methods"]["none"]["obeyed"]["mean"]["n"] == sum(bool(row.expected) for row in part.rows)
