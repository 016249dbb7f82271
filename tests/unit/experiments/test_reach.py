"""What the closed loop's figures count: the fewest changes that a quota needs, and the error over all images."""

from typing import Any, ClassVar, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from directrix.cli import main
from directrix.experiments import reach as reach_experiment
from directrix.experiments.methods.default_directions import GROUPS
from directrix.experiments.reach import seconds as reach_seconds
from directrix.experiments.reach.fairness import Sparing, most_that_fit, pooled_psnr
from directrix.measurement.judges.base import Verdict
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import silent

GENDERS, TONES = CATEGORIES["gender"], CATEGORIES["tone"]
LABELS = st.tuples(st.sampled_from([*GENDERS, None]), st.sampled_from([*TONES, None]))


def test_of_images_all_alike_a_third_of_the_quota_fits():
    assert most_that_fit([("female", "dark")] * 12, 12) == 4
    assert most_that_fit([("female", None)] * 12, 12) == 0
    even = [(gender, tone) for gender in GENDERS for tone in TONES] * 2
    assert most_that_fit(even, 12) == 12


@given(st.lists(LABELS, min_size=6, max_size=6))
def test_the_most_that_fit_is_what_trying_all_subsets_finds(labels):
    best = 0
    for chosen in range(2**6):
        left = [each for place, each in enumerate(labels) if chosen >> place & 1]
        genders, tones = [each[0] for each in left], [each[1] for each in left]
        whole = None not in genders and None not in tones
        if whole and all(genders.count(g) <= 3 for g in GENDERS) and all(tones.count(t) <= 2 for t in TONES):
            best = max(best, len(left))
    assert most_that_fit(labels, 6) == best


def test_images_left_to_the_bit_lower_the_error_of_all():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 10, np.uint8)
    assert pooled_psnr([black], [black]) is None
    one, half = pooled_psnr([black], [grey]), pooled_psnr([black, black], [grey, black])
    assert one == pytest.approx(20 * np.log10(25.5), abs=0.01)
    assert half == pytest.approx(one + 10 * np.log10(2), abs=0.02)


def test_what_a_gate_leaves_stands_beside_the_same_prompts_without_a_policy(monkeypatch, tmp_path):
    fair = object()
    labels = {
        word: (attribute, label)
        for attribute, group in GROUPS.items()
        for word, label in zip(group.words, CATEGORIES[attribute], strict=True)
    }

    def judged(self: Sparing, drawn: list[Any]) -> dict[str, list[dict[str, Verdict]]]:
        # Nothing obeys by itself.
        return {"one": [{name: Verdict(label if steered else None, 1.0)} for (name, label), steered in drawn]}

    def draw(self: Sparing, prompts: list[str], images: int, interventions: object = ()) -> list[Any]:
        said = [next((labels[word] for word in each.split() if word in labels), ("", "")) for each in prompts]
        return [(each, interventions is fair) for each in said for _ in range(images)]

    for name, each in {"_fair": lambda self: fair, "_draw": draw, "_judged": judged}.items():
        monkeypatch.setattr(Sparing, name, each)
    found = Sparing(None, {"one": cast(Any, None)}, tmp_path, (), 12, 2, silent).gate()
    assert found["words_stand"]["one"]["value"] == 1 and found["words_alone"]["one"]["value"] == 0
    assert found["words_stand"]["one"]["n"] == found["words_alone"]["one"]["n"] == 200


def test_images_drawn_again_are_evaluations_of_the_loop(pipeline, monkeypatch):
    class Twice:
        """Draws half of the images again, as a closed loop does."""

    drawn = reach_seconds.generate

    def generate(pipeline, prompt, images, *, interventions, **settings):
        given = {**settings, "interventions": ()}
        drawn(pipeline, prompt, images, **given)
        if interventions:
            drawn(pipeline, prompt, images // 2, **given)

    monkeypatch.setattr(reach_seconds, "generate", generate)
    monkeypatch.setattr(reach_seconds, "TURNS", 3)
    found = reach_seconds.ratios(pipeline, cast(Any, {"closed_loop": Twice()}), 2)["closed_loop"]
    assert found["evaluations"] == 1.5
    assert found["an_evaluation"]["value"] == pytest.approx(found["value"] / 1.5, rel=1e-3)


class Asked:
    """Stands in for both measurements, and remembers what was asked of it."""

    asked: ClassVar[list[str]] = []

    def __init__(self, *given: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        def measure(*given: Any) -> dict[str, Any]:
            self.asked.append(name)
            return {"of": name}

        return measure


def test_one_part_can_be_measured_again(pipeline, monkeypatch, tmp_path, capsys):
    for name in ("Reaching", "Sparing"):
        monkeypatch.setattr(reach_experiment, name, Asked)
    found = reach_experiment.reach(pipeline, {"emoji": cast(Any, None)}, tmp_path / "whole")
    assert [found[part] for part in reach_experiment.PARTS] == [
        {"of": name} for name in ("figures", "groups", "gate", "seconds")
    ]
    Asked.asked.clear()
    again = reach_experiment.reach(pipeline, {"emoji": cast(Any, None)}, tmp_path / "part", parts=["gate"])
    assert Asked.asked == ["directions", "gate"] and set(found) - set(again) == {"directions", "fair", "seconds"}
    # How many images each part is of is of those that were measured.
    assert list(found["pictures"]["each"]) == ["directions", "controls", "groups"] and not again["pictures"]["each"]
    # Without the other parts there is nothing to write it into.
    assert main(["bench", "reach", "--part", "gate", "-o", str(tmp_path / "new.json"), "--runs", str(tmp_path)]) == 2
    assert "leave --part out" in capsys.readouterr().err
