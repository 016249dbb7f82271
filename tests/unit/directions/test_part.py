"""Directions of several parts: algebra, files, and what refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.errors import DirectionFileError, DirectrixError, MismatchError, StrengthError
from directrix.models.identity import ModelIdentity, Site

MODEL = ModelIdentity("tiny", "", "f" * 64)
MID, UP = Site("mid_block", 4), Site("up_blocks.0", 3)
TOKENS, TIME = Site("blocks.1", 4, "channels-last"), Site("time_text_embed", 5, "vector")
SHAPES = {MID: (4, 2, 3), UP: (3,), TOKENS: (2, 3, 4), TIME: (5,)}


def part(site: Site, seed: int = 0, weights: tuple[float, ...] | None = None) -> Part:
    return Part(site, torch.randn(SHAPES[site], generator=torch.Generator().manual_seed(seed)), weights)


def make(name: str, *parts: Part) -> Direction:
    return Direction(name, parts=parts, model=MODEL)


@pytest.fixture
def woman() -> Direction:
    return make("woman", part(MID), part(UP, 1), part(TOKENS, 2, (1.0, 0.5, 0.0)), part(TIME, 3))


@pytest.mark.parametrize(
    ("site", "shape"), [(MID, (2, 3, 4)), (MID, (4, 2)), (TOKENS, (4, 2, 3)), (TIME, (5, 1, 1)), (TIME, (4,)), (UP, ())]
)
def test_shapes_that_do_not_fit_the_site(site: Site, shape: tuple[int, ...]):
    with pytest.raises(MismatchError, match=site.name):
        Part(site, torch.zeros(shape))


@pytest.mark.parametrize("weights", [(), (float("nan"),), ("1",), (True,)])
def test_weights_that_are_no_numbers(weights: tuple):
    with pytest.raises(StrengthError):
        part(MID, weights=weights)


def test_weights_count_for_equal_stretches_of_the_steps():
    each = part(MID, weights=(1.0, 0.5, 0.0))
    assert [each.weight(step / 6) for step in range(6)] == [1, 1, 0.5, 0.5, 0, 0]
    assert part(MID).weight(0.9) == 1


@pytest.mark.parametrize("name", ["tensor", "site"])
def test_several_parts_have_no_one_tensor_or_site(woman: Direction, name: str):
    with pytest.raises(MismatchError, match=r"4 parts, at mid_block, up_blocks\.0"):
        getattr(woman, name)
    with pytest.raises(MismatchError, match="parts"):
        woman.with_(**{name: None})


def test_no_parts_and_two_of_one_place():
    with pytest.raises(DirectrixError, match="no parts"):
        make("a")
    with pytest.raises(MismatchError, match="two parts at 'mid_block'"):
        make("a", part(MID), part(MID, 1))


def test_sums_go_part_by_part():
    a, b = make("a", part(MID), part(UP, 1)), make("b", part(UP, 2), part(TIME, 3))
    total, difference = a + b, a - b
    assert [each.site for each in total.parts] == [MID, UP, TIME]
    assert torch.equal(total.parts[1].tensor, a.parts[1].tensor + b.parts[0].tensor)
    assert torch.equal(total.parts[2].tensor, b.parts[1].tensor)
    assert torch.equal(difference.parts[2].tensor, -b.parts[1].tensor)
    assert torch.equal((a / 2).parts[0].tensor, a.parts[0].tensor / 2)
    assert total.norm() == pytest.approx(sum(float(each.tensor.norm()) ** 2 for each in total.parts) ** 0.5)
    assert a.cosine(2 * a) == pytest.approx(1) and a.cosine(-a) == pytest.approx(-1)


def test_sums_of_other_weights_stand_side_by_side():
    early = make("a", part(MID)) + make("b", part(MID, 1, (1.0, 0.0)))
    assert [each.weights for each in early.parts] == [None, (1.0, 0.0)]


AWAY = replace(part(MID, 4), branch="unconditional")


@pytest.mark.parametrize("branch", ["both", "", None])
def test_branches_that_a_part_cannot_act_in(branch: str | None):
    with pytest.raises(StrengthError, match="branch"):
        replace(part(MID), branch=branch)


@pytest.mark.parametrize("branch", ["conditional", "unconditional", "both"])
@pytest.mark.parametrize("guided", [True, False])
def test_a_part_of_the_unconditional_branch_acts_beside_the_conditional_one_alone(branch: str, guided: bool):
    assert part(MID).acts_in(branch, guided) == branch
    assert AWAY.acts_in(branch, guided) == ("unconditional" if guided and branch == "conditional" else None)


def test_parts_of_both_branches_stand_side_by_side():
    one, plain = make("one", part(MID), AWAY), make("plain", part(MID, 1))
    for total in (one + plain, plain + one, one - plain):
        assert {each.branch for each in total.parts} == {"conditional", "unconditional"}
        assert torch.equal(next(each for each in total.parts if each.branch != "conditional").tensor, AWAY.tensor)
    twice = 2 * one + one
    assert all(torch.equal(a.tensor, 3 * b.tensor) for a, b in zip(twice.parts, one.parts, strict=True))
    with pytest.raises(MismatchError, match="two parts"):
        make("twice", AWAY, AWAY)
    # Compared are the conditional parts, so that values with such a part and without one can be.
    assert one.cosine(plain) == plain.cosine(one) == pytest.approx(make("a", part(MID)).cosine(plain))
    assert one.digest() != make("one", part(MID)).digest()
    assert one.digest() != make("one", part(MID), part(UP)).digest()


def test_files_of_both_branches_are_ones_that_earlier_versions_refuse(tmp_path: Path):
    one, file = make("one", part(MID), AWAY), tmp_path / "one.safetensors"
    one.save(file)
    found = Direction.load(file)
    assert found.digest() == one.digest() and [each.branch for each in found.parts] == ["conditional", "unconditional"]
    described = json.loads(metadata(file)["directrix"])
    assert described["format"] == 4
    assert "unconditional branch" in found._repr_html_() and "mid_block', unconditional" in repr(found)
    with pytest.raises(MismatchError, match=r"2 parts, at mid_block, mid_block \(unconditional\)"):
        found.tensor  # noqa: B018
    # Earlier versions would add it to the conditional branch.
    with safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    save_file(tensors, file, {"directrix": json.dumps({**described, "format": 3})})
    with pytest.raises(DirectionFileError, match="format 3 knows of no part"):
        Direction.load(file)


def test_digests_tell_parts_and_weights_apart(woman: Direction):
    others = [woman.with_(parts=woman.parts[:3]), woman.with_(parts=woman.parts[::-1])]
    others += [woman.with_(parts=(*woman.parts[:2], part(TOKENS, 2), woman.parts[3]))]
    assert len({each.digest() for each in (woman, *others)}) == 4


def test_sizes_of_maps(woman: Direction):
    resized = woman.resized(4, 6, "blocks.1")
    assert [tuple(each.tensor.shape) for each in resized.parts] == [(4, 2, 3), (3,), (4, 6, 4), (5,)]
    assert [tuple(each.tensor.shape) for each in woman.pooled().parts] == [(4,), (3,), (4,), (5,)]
    torch.testing.assert_close(woman.pooled().parts[2].tensor, woman.parts[2].tensor.mean(dim=(0, 1)))
    for site in (None, "time_text_embed", "nowhere"):
        with pytest.raises(MismatchError):
            woman.resized(4, 6, site)


def test_files_of_several_parts(woman: Direction, tmp_path: Path):
    file = tmp_path / "woman.safetensors"
    woman.save(file)
    found = Direction.load(file)
    assert found.digest() == woman.digest()
    assert [(a.site, a.weights) for a in found.parts] == [(a.site, a.weights) for a in woman.parts]
    assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(found.parts, woman.parts, strict=True))


def metadata(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return dict(opened.metadata())


@pytest.mark.parametrize(
    ("each", "form"), [(part(MID), 1), (part(UP), 1), (part(MID, 0, (1.0, 0.0)), 2), (part(TOKENS), 2), (part(TIME), 2)]
)
def test_only_what_earlier_versions_cannot_read_is_of_format_2(each: Part, form: int, tmp_path: Path):
    make("a", each).save(tmp_path / "a.safetensors")
    assert json.loads(metadata(tmp_path / "a.safetensors")["directrix"])["format"] == form


def damaged(change: Callable[[dict[str, torch.Tensor]], object], file: Path) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata(file))


@pytest.mark.parametrize("change", [lambda found: found.pop("direction.3"), lambda found: found["direction.2"].add_(1)])
def test_a_damaged_part(change: Callable, woman: Direction, tmp_path: Path):
    file = tmp_path / "woman.safetensors"
    woman.save(file)
    damaged(change, file)
    with pytest.raises(DirectionFileError, match="damaged"):
        Direction.load(file)


def test_cards_name_every_part(woman: Direction):
    from directrix.directions.card import hub_card

    for page in (woman._repr_html_(), hub_card(woman.header, "me/woman")):
        assert all(each.site.name in page for each in woman.parts)
