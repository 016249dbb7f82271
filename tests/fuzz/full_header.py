"""The header of a direction's file with all that one can carry."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from markdown_it import MarkdownIt

from directrix.cli.direction_files import described
from directrix.directions import card, serialization
from directrix.directions.calibrated_on import calibrated_on
from directrix.directions.collection import keeps_out
from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.directions.projection import Projection
from directrix.measurement.calibration.target import concept_of, others_of
from directrix.models.identity import ModelIdentity, Site
from directrix.studio import direction_markup, steer_tab
from fuzz.limits import ends_well

SITE, MODEL = Site("mid_block", 2), ModelIdentity("attacker/evil", "", "0" * 64)


def full_header() -> dict[str, Any]:
    """As JSON gives it."""
    tensor = torch.ones(2)
    pair = {"target": "a woman", "neutral": "a person", "negative": "a man"}
    concept = {"name": "woman", "pairs": [pair]}
    direction = Direction("woman", tensor, SITE, MODEL)
    figure = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    row = {"effect": figure, "subject_retained": figure, "shares": {"tone": {"light": 0.5}}}
    measured = {"distance": 0.1, **row}
    label = {"attribute": "gender", "label": "female", "present": True}
    recipe = {"concept": concept, "method": "difference", "learned_together": ["woman", "man"]}
    figures = {
        **{"format": card.FORMAT, "name": "woman", "digest": direction.digest(), "model": asdict(MODEL)},
        **{"site": "mid_block", "shape": [2], "map": False, "sensible": asdict(direction.strengths)},
        **{"judge": "emoji", "target_label": label, "prompts": ["a person"], "images_per_prompt": 1},
        **{"num_inference_steps": 1, "seed": 0, "monotone": True, "leakage": {"tone": {"light": figure}}},
        **{"strengths": [{"strength": each, **measured} for each in (0.0, 1.0)], "command": "directrix discover"},
        **{"recipe": recipe, "cost": {"seconds": 1.0, "denoiser_evaluations": {"samples": 3}, "memory_mb": 5.0}},
    }
    calibration = {"target_label": label, "unit": 1.0, "strengths": [{"strength": each, **row} for each in (0.5, 1.0)]}
    direction = direction.with_(
        recipe={**recipe, "others": [concept], "images": 3, "seconds": 1.5},
        provenance={"card": figures, "calibration": calibration, "memory_mb": 5.0},
    )
    return _written(direction)


def affine() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the header of a file of format 3."""
    projection = Projection(torch.eye(2), torch.eye(2), (0.5, -0.5))
    part = Part(Site("encoder_hidden_states", 2, "text"), torch.ones(2), (1.0, 0.0), projection)
    tensors = {"direction": part.tensor, "direction.basis": projection.basis, "direction.covectors": torch.eye(2)}
    return tensors, _written(Direction("woman", parts=[part], model=MODEL))


def _written(direction: Direction) -> dict[str, Any]:
    data = serialization.encode(direction.header, direction.parts)
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][serialization.METADATA_KEY])


def show(path: Path) -> None:
    """Reads a direction's file, and makes every page and every line of it."""
    direction = Direction.load(path)
    described([(direction, path)])
    header = direction.header
    # With its raw HTML, as the hub reads it.
    page = MarkdownIt().render(card.hub_card(header, "me/woman"))
    for each in (card.html(header), page, direction_markup.card(direction)):
        assert "<script>" not in each, each
    steer_tab._measured(direction)
    for read in (concept_of, others_of, calibrated_on, keeps_out):
        ends_well(lambda read=read: read(direction))
