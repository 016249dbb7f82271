from __future__ import annotations

import pytest
import torch
from torch import nn

from directrix.errors import SiteError
from directrix.models import hooks


def test_edit_changes_the_output_and_is_gone_afterwards():
    module = nn.Identity()
    with hooks.edit_output(module, lambda h: h + 1):
        assert module(torch.zeros(2)).tolist() == [1.0, 1.0]
    assert module(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_none_leaves_the_very_output():
    module, x = nn.Identity(), torch.zeros(2)
    with hooks.edit_output(module, lambda h: None):
        assert module(x) is x


def test_all_are_gone_after_an_exception():
    module = nn.Identity()
    with (
        pytest.raises(RuntimeError),
        hooks.edit_output(module, lambda h: h),
        hooks.edit_output(module, lambda h: None),
        hooks.before_call(module, lambda a, k: None),
    ):
        assert type(module) is nn.Identity
        raise RuntimeError
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_on_a_compiled_model_the_class_changes_as_long_as_a_hook_is_open():
    """The class is what a compiled graph is told by."""
    module = nn.Identity()
    with pytest.raises(RuntimeError), hooks.edit_output(module, lambda h: h + 1, compiled=True):
        assert type(module) is not nn.Identity and type(module).__name__ == "Identity"
        assert module(torch.zeros(2)).tolist() == [1.0, 1.0]
        raise RuntimeError
    assert type(module) is nn.Identity
    assert not module._forward_hooks


def test_calls_are_seen_with_their_keywords():
    calls = []

    class Module(nn.Module):
        def forward(self, x: torch.Tensor, *, timestep: int) -> torch.Tensor:
            return x

    module = Module()
    with hooks.before_call(module, lambda args, kwargs: calls.append((len(args), dict(kwargs)))):
        module(torch.zeros(1), timestep=7)
    assert calls == [(1, {"timestep": 7})]


def test_a_tuple_cannot_be_edited():
    class Module(nn.Module):
        def forward(self) -> tuple[int, int]:
            return 1, 2

    module = Module()
    with hooks.edit_output(module, lambda h: h), pytest.raises(SiteError, match="tuple"):
        module()


def test_of_a_block_with_two_streams_the_hidden_states_are_edited():
    class Block(nn.Module):
        def forward(self, hidden_states: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return (text, hidden_states) if hidden_states.shape[0] == 3 else (hidden_states, text)

    block, text = Block(), torch.zeros(2)
    with hooks.edit_output(block, lambda h: h + 1):
        first, last = block(hidden_states=torch.zeros(3), text=text)
        assert first is text and last.tolist() == [1.0] * 3
        first, last = block(torch.zeros(4), text=text)
        assert first.tolist() == [1.0] * 4 and last is text


def test_inputs_are_read_and_edited():
    seen: list[torch.Tensor] = []
    module = nn.Identity()
    with hooks.edit_input(module, lambda h: h + 1), hooks.edit_input(module, seen.append):
        assert module(torch.zeros(2)).tolist() == [1.0, 1.0]
    assert seen[0].tolist() == [1.0, 1.0]
    with hooks.edit_input(module, lambda h: None):
        assert module(text := torch.zeros(1)) is text
    assert not module._forward_pre_hooks
