"""Which judge reads images half-way, and what it sees of each category."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError
from directrix.measurement import judges
from directrix.measurement.calibration.target import read_by_judge
from directrix.models.steerable import SteerableModel
from directrix.policies.policy import Policy


@pytest.fixture
def policy(make_direction: Callable[..., Direction]) -> Policy:
    found = []
    for seed, (name, label) in enumerate((("woman", "female"), ("man", "male"), ("unarmed", "weapon"))):
        attribute = "item category" if name == "unarmed" else "gender"
        label = {"attribute": attribute, "label": label, "present": name != "unarmed"}
        words = {"target": "a person", "neutral": "a person", "negative": "a weapon"}
        pairs = [words if name == "unarmed" else {"target": f"a {name}", "neutral": "a person"}]
        found.append(
            make_direction(name, seed).with_(
                provenance={"calibration": {"target_label": label}}, recipe={"concept": {"name": name, "pairs": pairs}}
            )
        )
    return Policy.of(
        {
            "directions": found,
            "fair": {"gender": "uniform"},
            "closed_loop": "judge",
            "safe": {"categories": {"weapon": ["unarmed"]}, "closed_loop": "judge"},
        }
    )


def test_by_what_the_directions_were_calibrated_on(pipeline: Any, policy: Policy):
    assert set(policy.unread) == {"gender", "weapon"}
    read = read_by_judge(SteerableModel.of(pipeline), policy, "emoji")
    assert not read.unread and policy.unread
    assert read.fair is not None and read.safe is not None
    preview: Any = read.fair.balances[0].probe
    assert preview.labels == {"woman": TargetLabel("gender", "female"), "man": TargetLabel("gender", "male")}
    assert read.safe.previews["weapon"].labels["absent"] == TargetLabel("item category", "weapon", present=False)
    assert preview.judge is read.safe.previews["weapon"].judge


def test_clip_chooses_between_the_words_of_the_categories(pipeline: Any, policy: Policy, monkeypatch: Any):
    asked: dict[str, Any] = {}

    class Clip:
        name, config = "clip", {}

        def label(self, images: Any) -> list[Any]:
            return []

    def load(name: str, **given: Any) -> Any:
        asked.update(given, name=name)
        return Clip()

    monkeypatch.setattr(judges, "load", load)
    read = read_by_judge(SteerableModel.of(pipeline), policy)
    assert asked["name"] == "clip"
    assert asked["attributes"]["gender"] == {"woman": ["a woman"], "man": ["a man"]}
    assert asked["attributes"]["weapon"] == {"absent": ["a person"], "present": ["a weapon"]}
    assert read.safe is not None and read.safe.previews["weapon"].labels == {
        "absent": TargetLabel("weapon", "absent"),
        "present": TargetLabel("weapon", "absent", present=False),
    }


def test_a_direction_that_draws_the_harm_is_not_taken_for_its_absence(
    pipeline: Any, make_direction: Callable[..., Direction], monkeypatch: Any
):
    pairs = [{"target": "a person with a knife", "neutral": "a person with a flower"}]
    weapon = make_direction("weapon", 3).with_(recipe={"concept": {"name": "weapon", "pairs": pairs}})
    given = {"categories": {"weapon": {"weapon": -1.0}}, "closed_loop": "judge", "labels": {"weapon": "item=knife"}}
    asked: dict[str, Any] = {}

    class Clip:
        name, config = "clip", {}

        def label(self, images: Any) -> list[Any]:
            return []

    monkeypatch.setattr(judges, "load", lambda name, **more: asked.update(more) or Clip())
    read_by_judge(SteerableModel.of(pipeline), Policy.of({"directions": [weapon], "safe": given}))
    assert asked["attributes"]["weapon"] == {"absent": ["a person with a flower"], "present": ["a person with a knife"]}


def test_a_judge_that_only_measures_reads_nothing(pipeline: Any, policy: Policy):
    with pytest.raises(DirectrixError, match="Nothing is fitted"):
        read_by_judge(SteerableModel.of(pipeline), policy, "emoji-held-out")
