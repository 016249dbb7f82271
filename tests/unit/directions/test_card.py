"""Pages of cards, whichever names their keys have; what is measured is tested with the measuring."""

from __future__ import annotations

from typing import Any

from directrix.directions.card import markdown, renewed, sentence


def card(target_label: str, retained: str) -> dict[str, Any]:
    figure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 6}
    row = {"effect": figure, retained: figure, "distance": 0.1, "shares": {}}
    return {
        "name": "woman",
        "model": {"name": "tiny", "revision": "", "fingerprint": "f" * 64},
        "site": "mid_block",
        "shape": [4],
        target_label: {"attribute": "gender", "label": "female"},
        "judge": "clip",
        "prompts": ["a judge"],
        "images_per_prompt": 6,
        "num_inference_steps": 2,
        "seed": 0,
        "strengths": [{"strength": strength, **row} for strength in (0.0, 1.0)],
        "monotone": True,
        "leakage": {},
        "sensible": {"default": 1.0, "minimum": -1.5, "maximum": 1.5},
        "cost": {"seconds": None, "denoiser_evaluations": 3, "memory_mb": None},
        "recipe": {"method": "difference"},
        "command": None,
    }


def test_cards_of_before_show_the_same():
    new, old = card("target_label", "subject_retained"), card("aim", "kept")
    assert markdown(new) == markdown(old) and sentence(new) == sentence(old) and renewed(old) == new
    assert "(gender is female)" in sentence(new) and "50 % [25, 75] keep their subject" in sentence(new)
