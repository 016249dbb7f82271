"""How many functions of ours stand between what a user calls and the change of the activations."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import directrix
from directrix.concept import GENDER
from directrix.generation.fair import fair
from directrix.generation.generate import generate
from directrix.interventions import project_and_set, prompt_conditioned, steering
from directrix.interventions.steering import Steering

OURS = str(Path(directrix.__file__).parent)
QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 5.0}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The functions of ours that are on the stack whenever activations are changed, from the outermost to the last."""
    found: list[list[str]] = []

    def watch(changes: Any, name: str = "__call__") -> None:
        original = getattr(changes, name)

        def change(*args: Any) -> Any:
            frame, stack = sys._getframe(1), []
            while frame is not None:
                if frame.f_code.co_filename.startswith(OURS):
                    stack.append(frame.f_code.co_qualname)
                frame = frame.f_back
            found.append([*stack[::-1], original.__qualname__])
            return original(*args)

        monkeypatch.setattr(changes, name, change)

    watch(steering._Added)
    watch(prompt_conditioned._Added)
    watch(project_and_set, "_projected")
    return found


def test_from_generate_to_the_activations(pipeline: Any, make_direction: Callable[..., Any], ways: list[list[str]]):
    steered = Steering({make_direction(): [1.0, -1.0]}, start=0.2)
    generate(pipeline, "a judge", 2, interventions=steered, **QUICK)
    assert ways and all("generate" in way for way in ways)
    assert max(map(len, ways)) <= 6, ways[0]


def test_from_fair_to_the_activations(pipeline: Any, make_direction: Callable[..., Any], ways: list[list[str]]):
    people = [make_direction(each.name, seed) for seed, each in enumerate(GENDER.concepts)]
    fair(pipeline, "a judge", {"gender": "uniform"}, 2, directions=people, **QUICK)
    assert ways and all("fair" in way for way in ways)
    # The innermost is the projection of what the prompts are about.
    assert {way[-1] for way in ways} == {"_Added.__call__", "_projected"}
    assert max(map(len, ways)) <= 12, max(ways, key=len)
