from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

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


@pytest.mark.parametrize("opened", [hooks.edit_output, hooks.edit_input, hooks.after_call, hooks.before_call])
def test_one_that_another_thread_closes_during_the_call_is_no_trouble(opened: Callable[..., Any]):
    """Torch lists the hooks first, and then asks for each what it is to be given."""
    module, others = nn.Identity(), ExitStack()

    def close(*_: Any) -> None:
        others.close()

    with opened(module, close):
        others.enter_context(opened(module, lambda *_: None))
        assert module(torch.ones(2)).tolist() == [1.0, 1.0]
    assert not module._forward_hooks and not module._forward_pre_hooks


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


class TextFirst(nn.Module):
    def forward(self, hidden_states: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return text, hidden_states


class TextLast(nn.Module):
    def forward(self, hidden_states: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return hidden_states, text


class Unnamed(nn.Module):
    def forward(self, hidden_states: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return hidden_states + 0, text + 0


@pytest.mark.parametrize(("block", "image"), [(TextFirst(), 1), (TextLast(), 0)])
def test_of_a_block_with_two_streams_the_hidden_states_are_edited(block: nn.Module, image: int):
    """By their name: text and image may have one shape."""
    text = torch.zeros(3)
    with hooks.edit_output(block, lambda h: h + 1):
        found = block(torch.zeros(3), text=text)
    assert found[image].tolist() == [1.0] * 3 and found[1 - image] is text


def test_of_two_streams_without_a_name_none_is_edited():
    block = Unnamed()
    with hooks.edit_output(block, lambda h: h + 1), pytest.raises(SiteError, match="which of them is the image's"):
        block(torch.zeros(3), text=torch.zeros(3))


def test_inputs_are_read_and_edited():
    seen: list[torch.Tensor] = []
    module = nn.Identity()
    with hooks.edit_input(module, lambda h: h + 1), hooks.edit_input(module, seen.append):
        assert module(torch.zeros(2)).tolist() == [1.0, 1.0]
    assert seen[0].tolist() == [1.0, 1.0]
    with hooks.edit_input(module, lambda h: None):
        assert module(text := torch.zeros(1)) is text
    assert not module._forward_pre_hooks
