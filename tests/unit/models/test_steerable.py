"""One object for the model: always the same one, never one of a pipeline that is gone, never out of date."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from directrix import models
from directrix.errors import ModelError
from directrix.interventions.attach import attach
from directrix.models import SteerableModel


def test_a_pipeline_has_one_model_and_a_model_is_its_own(pipeline: Any, other_pipeline: Any):
    model = SteerableModel.of(pipeline)
    assert SteerableModel.of(pipeline) is model and SteerableModel.of(model) is model
    assert SteerableModel.of(other_pipeline) is not model
    assert model.identity == models.identity(pipeline) == models.identity(model)
    assert model.facts == models.facts(pipeline)
    assert model.find_site() in model.sites()


def test_no_pipeline_is_kept_alive(make_pipeline: Callable[..., Any], make_direction: Callable[..., Any]):
    pipeline = make_pipeline()
    direction = make_direction(of=pipeline)
    SteerableModel.of(pipeline).identity  # noqa: B018
    attach(pipeline).load_direction(direction)
    gone = weakref.ref(pipeline), weakref.ref(pipeline.unet)
    del pipeline
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_another_denoiser_is_another_identity(make_pipeline: Callable[..., Any], other_pipeline: Any):
    pipeline = make_pipeline()
    model = SteerableModel.of(pipeline)
    before = model.identity
    pipeline.unet = other_pipeline.unet
    assert SteerableModel.of(pipeline) is model and model.denoiser is other_pipeline.unet
    assert model.identity == models.identity(other_pipeline) != before
    with torch.no_grad():
        pipeline.unet = make_pipeline().unet
        pipeline.unet.conv_in.weight.neg_()
    assert model.identity not in (before, models.identity(other_pipeline))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_have_models_of_their_own(make_pipeline: Callable[..., Any], copied: Callable[..., Any]):
    pipeline = make_pipeline()
    model = SteerableModel.of(pipeline)
    other = copied(pipeline)
    assert SteerableModel.of(other) is not model and SteerableModel.of(other).pipeline is other
    assert SteerableModel.of(other).identity == model.identity
    twin = copied(model)
    assert twin.identity == model.identity


def test_what_is_compiled_is_seen(make_pipeline: Callable[..., Any]):
    pipeline = make_pipeline()
    model = SteerableModel.of(pipeline)
    assert not model.compiled
    network = pipeline.unet
    pipeline.unet = torch.compile(network)
    assert model.compiled and model.denoiser is network
    pipeline.unet = network
    assert not model.compiled
    network.mid_block.compile()
    assert model.compiled
    network.mid_block._compiled_call_impl = None
    network.forward = torch.compile(network.forward)
    assert model.compiled


def test_no_denoiser():
    with pytest.raises(ModelError, match="no denoiser"):
        SteerableModel.of(object()).denoiser  # noqa: B018


EAGER = """
import sys, torch
from torch.utils.hooks import RemovableHandle
from conftest import build_pipeline
from pathlib import Path
from directrix import models, steer
from directrix.directions.direction import Direction
from directrix.models import SteerableModel

pipeline = build_pipeline(Path(sys.argv[1]))
model = SteerableModel.of(pipeline)
direction = Direction("any", torch.ones(32, 4, 4), model.find_site(), model.identity)
classes = [type(module) for module in pipeline.unet.modules()]
before = RemovableHandle.next_id
with steer(pipeline, {direction: 1.0}, stop=0.5):
    assert [type(module) for module in pipeline.unet.modules()] == classes
    opened = RemovableHandle.next_id - before
    pipeline("a judge", num_inference_steps=2, output_type="latent")
handles = RemovableHandle.next_id
with steer(pipeline, {direction: 1.0}, stop=0.5):
    assert RemovableHandle.next_id == handles + opened
# At the site, at the call of the denoiser, and where its answer and the latents are seen to be finite.
assert opened == 4, opened
assert "directrix.models.compiled" not in sys.modules
assert not hasattr(torch.ops.directrix, "edit_output")
"""


def test_models_that_run_as_they_are_written_get_torch_s_hooks_and_nothing_else(tokenizer_folder: Any):
    """No class is swapped, no counter of torch's is written, and the support of compiled models is never imported."""
    from pathlib import Path

    tests = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{EAGER}", str(tokenizer_folder)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
