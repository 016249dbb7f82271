"""Neutral prompts that are padded to the longest of a batch, as the paper's authors train."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from directrix.concept import Concept
from directrix.discovery import Optimizer, Sampling, discover
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.prompt_padding import longest
from directrix.errors import DirectrixError, ModelError
from directrix.experiments.paper.directions import Discovery
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")
QUICK: dict[str, Any] = {"sampling": Sampling(1, num_inference_steps=1), "optimizer": Optimizer(1, 1)}


def test_a_batch_is_as_long_as_its_longest_prompt_and_states_are_those_of_inference(pipeline: Any):
    model = SteerableModel.of(pipeline)
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site())
        prompts = ["a person", "a person on a bench", "a person " * 99]
        counts = [len(denoiser.tokens(each)) for each in prompts]
        whole = denoiser.encode(prompts).rows["encoder_hidden_states",]
        of_batch = longest(denoiser, prompts)
        assert counts[0] < counts[1] < counts[2] == whole.shape[1] == pipeline.tokenizer.model_max_length
        for places in ([0, 0], [0, 1], [1, 2, 0]):
            cut = of_batch(torch.tensor(places)).rows["encoder_hidden_states",]
            assert torch.equal(cut, whole[places][:, : counts[max(places)]])


def test_it_finds_another_direction_and_says_so(pipeline: Any):
    found = [discover(pipeline, WOMAN, "reconstruction", padding=each, **QUICK) for each in ("model", "longest")]
    assert [each.recipe["padding"] for each in found] == ["model", "longest"]
    assert not torch.equal(found[0].tensor, found[1].tensor)


def test_where_it_cannot_be_it_is_refused_or_left_out(pipeline: Any, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DirectrixError, match="padding"):
        discover(pipeline, WOMAN, "reconstruction", padding="longst", **QUICK)
    asked = Discovery("reconstruction", 1, 1, None, 1, 7.5, 0)
    assert asked.padded(SteerableModel.of(pipeline)).padding == "longest"
    assert Discovery("difference", 1, None, None, 1, 7.5, 0).padded(SteerableModel.of(pipeline)).padding == "model"
    monkeypatch.setattr(pipeline, "text_encoder_2", pipeline.text_encoder, raising=False)
    assert asked.padded(SteerableModel.of(pipeline)).padding == "model"
    with pytest.raises(ModelError, match="--padding model"):
        discover(pipeline, WOMAN, "reconstruction", padding="longest", **QUICK)
