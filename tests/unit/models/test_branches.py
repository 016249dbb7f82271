"""Which branch of guidance a call of the denoiser is about, as its arguments and the pipeline's variables show it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from directrix.errors import StrengthError
from directrix.models.branches import layout_of, stated_order


class Says:
    do_classifier_free_guidance = True


class Silent:
    def __call__(self) -> None:
        raise NotImplementedError


class Chunks:
    do_classifier_free_guidance = True

    def __call__(self) -> Any:
        noise_pred = torch.zeros(2)
        noise_pred_text, noise_pred_uncond = noise_pred.chunk(2)
        return noise_pred_text - noise_pred_uncond


def states(images: int, seed: int) -> torch.Tensor:
    return torch.randn(images, 3, 4, generator=torch.Generator().manual_seed(seed))


def layout(text: Any, pipeline: Any = None, images: int = 2, **values: Any) -> tuple[str, bool]:
    rows = len(text)
    arguments = {
        "hidden_states": torch.zeros(rows, 4, 2, 2),
        "timestep": torch.zeros(rows),
        "encoder_hidden_states": text,
    }
    return layout_of(pipeline or Says(), arguments, {"latents": torch.zeros(images, 4, 2, 2), **values})


@given(st.integers(1, 5), st.booleans(), st.booleans())
def test_both_in_one_batch(images: int, negative_first: bool, half: bool):
    negative, positive = states(images, 0), states(images, 1)
    order = [negative, positive] if negative_first else [positive, negative]
    text = torch.cat(order).half() if half else torch.cat(order)
    found = layout(text, images=images, negative_prompt_embeds=negative, prompt_embeds=text)
    assert found == ("unconditional-conditional" if negative_first else "conditional-unconditional", True)


@given(st.integers(1, 5), st.permutations(["conditional", "conditional", "unconditional"]))
def test_three_parts(images: int, parts: list[str]):
    """Perturbed attention asks about the prompt twice, image guidance about the negative prompt."""
    by_branch = {"conditional": states(images, 1), "unconditional": states(images, 0)}
    text = torch.cat([by_branch[part] for part in parts])
    assert layout(text, images=images, negative_prompt_embeds=by_branch["unconditional"]) == ("-".join(parts), True)


def test_perturbed_attention_without_guidance():
    prompt = states(2, 1)
    assert layout(torch.cat([prompt, prompt]), Silent(), prompt_embeds=prompt) == ("conditional-conditional", False)


def test_views_in_turn_and_sources():
    """A panorama's views come in turn; an edited image's source is drawn beside it, and is not the prompt's."""
    negative, prompt, source = states(1, 0), states(1, 1), states(1, 2)
    values = {"negative_prompt_embeds": negative, "prompt_embeds": prompt, "source_prompt_embeds": source}
    text = torch.cat([negative, prompt, negative, prompt])
    found = layout(text, images=1, **values)
    assert found == ("unconditional-conditional-unconditional-conditional", True)
    text = torch.cat([negative, negative, source, prompt])
    assert layout(text, images=1, **values) == ("unconditional-unconditional-source-conditional", True)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_calls_of_their_own_in_either_order(images: int):
    values = {"prompt_embeds": states(images, 1), "negative_prompt_embeds": states(images, 0)}
    assert layout(values["prompt_embeds"], images=images, **values) == ("conditional", True)
    assert layout(values["negative_prompt_embeds"], images=images, **values) == ("unconditional", True)
    # Also where both prompts are the same, and the pipeline makes a new tensor of what it passes on.
    same = {"prompt_embeds": states(images, 1), "negative_prompt_embeds": states(images, 1)}
    assert layout(same["negative_prompt_embeds"], images=images, **same)[0] == "unconditional"
    assert layout(values["prompt_embeds"].double(), images=images, **values)[0] == "conditional"


def test_without_guidance_all_rows_are_conditional():
    assert layout(states(3, 1), Silent(), images=3) == ("conditional", False)
    # A negative prompt that is given and not used.
    values = {"prompt_embeds": states(2, 1), "negative_prompt_embeds": states(2, 0), "do_true_cfg": False}
    assert layout(values["prompt_embeds"], Silent(), **values) == ("conditional", False)


def test_lists_of_states():
    """Z-Image's text has another length for each prompt."""
    prompt, negative = [torch.ones(3, 4), torch.ones(2, 4)], [torch.zeros(1, 4), torch.zeros(1, 4)]
    values = {"prompt_embeds": prompt, "negative_prompt_embeds": negative}
    assert layout(prompt + negative, **values) == ("conditional-unconditional", True)
    assert layout(prompt, **values) == ("conditional", True)


def test_equal_prompts_in_one_batch_go_by_what_the_pipeline_does_with_the_answer():
    same = states(2, 1)
    assert stated_order(Chunks) == "conditional-unconditional" and stated_order(Says) is None
    found = layout(torch.cat([same, same]), Chunks(), prompt_embeds=same, negative_prompt_embeds=same)
    assert found == ("conditional-unconditional", True)


def test_what_cannot_be_known_is_refused():
    same = states(2, 1)
    with pytest.raises(StrengthError, match=r"4 rows for 2 images.*cannot be told apart"):
        layout(torch.cat([same, same]), Says(), prompt_embeds=same, negative_prompt_embeds=same)
    with pytest.raises(StrengthError, match="cannot be told apart"):
        layout(states(4, 2), Silent(), prompt_embeds=same)
    with pytest.raises(StrengthError, match="one after the other"):
        layout(states(2, 7), Says(), prompt_embeds=same, negative_prompt_embeds=states(2, 0))
    with pytest.raises(StrengthError, match="3 rows for 2 images"):
        layout(states(3, 2), Says(), negative_prompt_embeds=states(2, 0))
