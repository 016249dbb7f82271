"""How far faces are from renders: the distance by hand, which images count as what, and when there is no figure."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from directrix.errors import MismatchError, ModelError
from directrix.experiments.demo import sides
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.evaluation import evaluate
from directrix.measurement.evaluation.estimates import Evaluated
from directrix.measurement.evaluation.faces import add_ratios, faces
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.evaluation.quality import kid
from directrix.measurement.judges import Verdict, emoji_reference
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.emoji import EmojiJudge
from directrix.measurement.judges.emoji_reference import Reference
from directrix.measurement.metrics import matched_kid
from directrix.measurement.reports import page
from directrix.models import embedded

SUBJECTS = ("pilot", "firefighter")


@pytest.fixture(scope="module")
def reference():
    """Two renders of every kind, in features in which each subject has a place of its own."""
    kinds = [(s, g, t) for s in SUBJECTS for g in words.GENDERS for t in words.TONES for _ in range(2)]
    labels = {name: np.array([kind[i] for kind in kinds]) for i, name in enumerate(("subject", "gender", "tone"))}
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(kinds), 256)) + 3 * (labels["subject"] == "pilot")[:, None]
    return Reference({"emoji": features}, labels, {"emoji": emoji_reference.checksum_of("emoji")})


@pytest.fixture
def shipped(reference, tmp_path, monkeypatch):
    path = reference.save(tmp_path / "reference.safetensors")
    monkeypatch.setattr(embedded, "reference_path", lambda: path)
    return path


def kernel(a, b):
    return (float(np.dot(a, b)) / len(a) + 1) ** 3


def by_hand(images, references, counterparts):
    """The mean over pairs of images of what an unbiased estimate says for the two."""
    found = []
    for i, x in enumerate(images):
        for j, other in enumerate(images):
            if i == j:
                continue
            mine, theirs = (np.flatnonzero(counterparts[place]) for place in (i, j))
            between = [kernel(references[a], references[b]) for a in mine for b in theirs if a != b]
            found.append(
                kernel(x, other)
                - np.mean([kernel(x, references[b]) for b in theirs])
                - np.mean([kernel(other, references[a]) for a in mine])
                + np.mean(between)
            )
    return np.mean(found)


def test_the_distance_is_that_of_a_loop_over_all_pairs():
    rng = np.random.default_rng(1)
    images, references = rng.normal(size=(7, 5)), rng.normal(0.3, 1, size=(9, 5))
    counterparts = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 0, 0, 0]] * 3 + [[0] * 7 + [1] * 2]) > 0
    found = matched_kid(images, list("aabbccc"), references, counterparts)
    assert found.value == pytest.approx(by_hand(images, references, counterparts), rel=1e-10)
    assert found.low < found.value < found.high and found.n == 7


def test_of_one_subject_it_is_the_usual_kid():
    rng = np.random.default_rng(2)
    images, references = rng.normal(size=(12, 6)), rng.normal(1, 1, size=(12, 6))
    ours = matched_kid(images, ["a"] * 12, references, np.ones((12, 12)))
    assert ours.value == pytest.approx(kid(images, references, subsets=1, subset_size=12).value, rel=1e-10)
    # One prompt says nothing of how prompts differ.
    assert (ours.low, ours.high) == (ours.value, ours.value)


def test_another_mix_of_subjects_is_no_distance():
    rng = np.random.default_rng(3)
    of_render = np.arange(40) % 2 == 0
    # Ten images, nine of one subject; renders are of both in equal numbers.
    of_image = np.arange(10) > 0
    like, anything = of_image[:, None] == of_render, np.ones((10, 40))
    matched, mixed = [], []
    for _ in range(100):
        images, references = (rng.normal(size=(len(each), 4)) + 2 * each[:, None] for each in (of_image, of_render))
        for found, counterparts in ((matched, like), (mixed, anything)):
            prompts = ["a"] * 5 + ["b"] * 5
            found.append(matched_kid(images, prompts, references, counterparts, resamples=1).value)
    error = 3 * np.std(matched) / len(matched) ** 0.5
    assert abs(np.mean(matched)) < error < np.mean(mixed)


def test_images_without_counterparts_are_refused():
    with pytest.raises(MismatchError, match="two counterparts"):
        matched_kid(np.ones((2, 3)), ["a", "b"], np.ones((4, 3)), np.array([[1, 1, 0, 0], [1, 0, 0, 0]]))


def evaluated(reference, rows, shift=0.0):
    """Images of (subject asked for, what the judge sees of (gender, tone), assigned); each like a render, but moved."""
    pictures, features = [], {}
    rng = np.random.default_rng(4)
    for place, (subject, (gender, tone), assigned) in enumerate(rows):
        verdicts = {"subject": Verdict("pilot", 1.0), "gender": Verdict(gender, 1.0), "tone": Verdict(tone, 1.0)}
        row = Row(f"{place % 3}", "a prompt", expected={"subject": subject} if subject else {})
        pictures.append(EvaluatedImage(row, (place, 0), Path(), str(place), verdicts, assigned))
        features[str(place)] = rng.normal(size=256) + 3 * (subject != "firefighter") + shift
    benchmark = Benchmark("faces", "1", "", "", tuple(each.row for each in pictures), ("faces",))
    return Evaluated(pictures, benchmark, renders=(reference, {"emoji": features}))


DARK_MAN = {"gender": "man", "skin tone": "dark-skinned"}


def test_an_image_counts_as_what_it_was_steered_to_or_else_is_seen_as(reference):
    rows = [("firefighter", ("female", "light"), DARK_MAN)] * 10 + [(None, ("female", None), {})] * 12
    measured = faces(evaluated(reference, rows))
    assert {name: each["n"] for name, each in measured.figures.items()} == {
        "kid.emoji.female": 12,
        "kid.emoji.male": 10,
        "kid.emoji.dark": 10,
    }
    few = {f"faces, {tone}": "0 images; 10 are needed" for tone in ("light", "brown")}
    assert measured.left_out == few


def test_only_people_of_the_occupations_count(reference):
    others = [("dog", ("none", "none"), {})] * 12 + [("person", ("female", "light"), {})] * 12
    measured = faces(evaluated(reference, [*others, *[("pilot", ("female", "light"), {})] * 9]))
    assert measured.figures == {}
    assert measured.left_out["faces, female"] == "9 images; 10 are needed"


def test_images_that_are_not_as_their_renders_are_farther(reference):
    rows = [(SUBJECTS[place % 2], ("female", "light"), {}) for place in range(30)]
    near, far = (faces(evaluated(reference, rows, shift)).figures["kid.emoji.light"] for shift in (0.0, 1.0))
    assert far["low"] > near["high"] and abs(near["value"]) < far["value"] / 10
    methods = {"none": {"kid.emoji.light": near, "fid": {"value": 1}}, "far": {"kid.emoji.light": far}}
    methods["far"]["kid.emoji.dark"] = {**far}
    add_ratios(methods, "none")
    if near["value"] > 0:
        assert methods["far"]["kid.emoji.light"]["ratio"] == pytest.approx(far["value"] / near["value"], rel=1e-3)
    assert "ratio" not in methods["none"]["kid.emoji.light"]


def test_a_ratio_is_to_the_category_unsteered_or_else_to_the_mean_of_them():
    before = {"kid.emoji.light": {"value": 2.0}, "kid.emoji.female": {"value": 4.0}, "kid.other.dark": {"value": 0.0}}
    after = {f"kid.{name}": {"value": 6.0} for name in ("emoji.light", "emoji.dark", "other.dark", "third.dark")}
    add_ratios({"plain": before, "steered": after}, "plain")
    assert [each.get("ratio") for each in after.values()] == [3.0, 2.0, None, None]


def test_the_file_holds_what_was_put_in(reference, tmp_path):
    read = Reference.load(reference.save(tmp_path / "file"))
    assert all((read.labels[name] == each).all() for name, each in reference.labels.items())
    assert np.allclose(read.features["emoji"], reference.features["emoji"], atol=0.01)
    assert set(read.judges()) == {"emoji"}
    assert read.like({"subject": "pilot", "gender": "male", "tone": None}).sum() == 6


def test_a_changed_judge_and_another_file_are_refused(shipped, tmp_path, monkeypatch):
    changed = tmp_path / "judge.safetensors"
    changed.write_bytes(embedded.judge_path().read_bytes() + b" ")
    monkeypatch.setitem(emoji_reference.NETWORKS, "emoji", lambda: changed)
    with pytest.raises(ModelError, match="The judge 'emoji' has changed"):
        Reference.load().judges()
    for content in (b"", embedded.judge_path().read_bytes()):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(ModelError, match="holds no features of renders"):
            Reference.load(tmp_path / "other")


def test_an_evaluation_says_how_far_faces_are_or_why_not(pipeline, shipped, tmp_path):
    class Seen(EmojiJudge):
        """Sees a light pilot everywhere, whatever a random pipeline draws."""

        def verdicts(self, images):
            labels = {"subject": "pilot", "gender": "male", "tone": "light"}
            return [{**row, **{k: Verdict(v, 1.0) for k, v in labels.items()}} for row in super().verdicts(images)]

    benchmark = Benchmark("faces", "1", "CC0-1.0", "Faces.", (Row("a", "a pilot"), Row("b", "pilot")), ("faces",))
    settings = {"num_inference_steps": 1, "images": 5, "folder": tmp_path / "run"}
    summary = evaluate(pipeline, benchmark, {"none": ()}, [Seen.load()], **settings)
    figures = summary["methods"]["none"]
    assert set(figures) == {"kid.emoji.male", "kid.emoji.light"}
    assert summary["not_measured"]["faces, dark (none)"] == "0 images; 10 are needed"
    summary["methods"]["steered"] = {"kid.emoji.male": {**figures["kid.emoji.male"], "ratio": 1.37}}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    text = page.report(tmp_path / "run").read_text()
    assert "<h2>Faces</h2>" in text and "Light, emoji" in text and "1.37 &times; unsteered" in text
    assert "Quality" not in text


def test_without_an_emoji_judge_it_is_left_out(pipeline, tmp_path):
    class Other:
        name, config = "other", {}

        def label(self, images):
            return [{"gender": Verdict("male", 1.0)} for _ in images]

    benchmark = Benchmark("faces", "1", "CC0-1.0", "Faces.", (Row("a", "a pilot"),), ("faces",))
    other: Any = Other()
    summary = evaluate(pipeline, benchmark, {"none": ()}, [other], folder=tmp_path, num_inference_steps=1)
    assert "no judge is an emoji judge" in summary["not_measured"]["faces"]


def test_the_demo_lists_faces_by_side_and_their_ratio():
    mean = {"mean": {"value": 1.0}, "unscored": 0}
    shared = {"deviation_ratio_gender": mean, "deviation_ratio_tone": mean, "obeys_subject": mean}
    dark = {"value": 3.0, "low": 2.0, "high": 4.0, "n": 12, "ratio": 1.5}
    methods = {"unsteered": shared, "steered": {**shared, "kid.emoji.dark": dark}}
    found = sides({"methods": methods, "prompts": 1, "images_per_prompt": 12})
    assert found["unsteered"]["faces"] == {} and found["steered"]["faces"] == {"emoji": {"dark": dark}}
    assert found["faces_ratio"] == {"emoji": {"dark": 1.5}}
