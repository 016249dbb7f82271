"""The example of docs/serving.md runs as it stands there, under load."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

import directrix
from directrix.models import sites

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def hooks(pipeline: Any) -> int:
    modules = sites.denoiser(pipeline).modules()
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in modules)


@pytest.fixture
def service(pipeline, make_direction: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What app.py defines, with a tiny model in place of the embedded one."""
    make_direction().save(tmp_path / "woman.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(directrix, "load", lambda name: pipeline)
    found: dict[str, Any] = {}
    text = PAGE.read_text(encoding="utf-8").split("## An example\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(code, found)
    return found


def answers(app: Any, requests: list[tuple[str, dict[str, Any]]], at_once: bool) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=None) as client:
            asked = [client.get(path, params=parameters) for path, parameters in requests]
            return await asyncio.gather(*asked) if at_once else [await each for each in asked]

    return asyncio.run(ask())


def test_forty_requests_at_once_get_what_each_gets_alone(service: dict[str, Any], pipeline: Any):
    own = vars(type(pipeline))["__call__"]
    prompts = ["a judge", "a tall pilot who reads"]
    requests = [
        (
            "/async/image" if place % 4 > 1 else "/image",
            # Every second one is plain.
            {"prompt": prompts[place % 8 > 3], "seed": 7, "steps": 2, "strength": place % 2 * (place % 5 - 2) / 2},
        )
        for place in range(40)
    ]
    together = answers(service["app"], requests, at_once=True)
    assert [each.status_code for each in together] == [200] * 40
    different = list({str(each): each for each in requests}.values())
    alone = dict(zip(map(str, different), answers(service["app"], different, at_once=False), strict=True))
    assert all(answer.content == alone[str(each)].content for each, answer in zip(requests, together, strict=True))
    assert len({each.content for each in together}) == 10
    for path, asked in different:
        if not asked["strength"]:
            drawn = pipeline(asked["prompt"], num_inference_steps=2, generator=torch.Generator().manual_seed(7)).images
            answer = Image.open(io.BytesIO(alone[str((path, asked))].content))
            assert np.array_equal(np.asarray(answer), np.asarray(drawn[0]))
    assert hooks(pipeline) == 0 and vars(type(pipeline))["__call__"] is own


def test_what_is_out_of_bounds_is_refused(service: dict[str, Any]):
    far = service["woman"].strengths.maximum + 1
    requests = [("/image", {"prompt": "a judge", **each}) for each in ({"steps": 51}, {"strength": far})]
    assert [each.status_code for each in answers(service["app"], requests, True)] == [422, 422]


def test_a_sibling_shares_the_networks_alone(service: dict[str, Any], pipeline: Any):
    own = service["sibling"]()
    assert own.config == pipeline.config and own.unet is pipeline.unet and own.vae is pipeline.vae
    assert own.scheduler is not pipeline.scheduler and own.tokenizer is not pipeline.tokenizer
