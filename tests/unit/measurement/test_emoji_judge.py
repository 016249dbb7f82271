"""The emoji judge on networks made here: any picture, a reason where it is unsure, and no file but its own."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from directrix.errors import ModelError
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.emoji import EmojiJudge, HeldOutEmojiJudge, pixels
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork

ATTRIBUTES = {"subject", "gender", "tone", "item", "item category", "setting", "style"}
CHANNELS = (8, 8, 8, 8)


Network = JudgeNetwork | StridedNetwork
NAMES = {JudgeNetwork: None, StridedNetwork: "strided"}


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> Network:
    """A tiny network whose scores are its biases, whatever it sees; all are 0 to begin with."""
    network: Network = request.param(CHANNELS)
    with torch.no_grad():
        for head in network.heads.values():
            for parameter in head.parameters():
                parameter.zero_()
    return network


def sure_of(network: Network, head: str, *labels: str, score: float = 20.0) -> None:
    with torch.no_grad():
        for label in labels:
            network.heads[head].bias[HEADS[head].index(label)] = score  # type: ignore[index,union-attr]


def write(given: Network, path: Path, **changes: object) -> Path:
    """The network as `directrix world train` writes it; a change to None leaves a setting out."""
    settings = {"network": NAMES[type(given)], "channels": CHANNELS, "heads": HEADS, **changes}
    settings = {key: value for key, value in settings.items() if value is not None}
    state = {name: value.half() for name, value in given.state_dict().items()}
    save_file(state, path, {"judge": json.dumps(settings)})
    return path


def test_pictures_of_any_size_and_mode(network: Network, tmp_path: Path) -> None:
    judge = EmojiJudge.load(write(network, tmp_path / "judge.safetensors"))
    shapes = [("RGB", (64, 64)), ("RGB", (512, 512)), ("RGBA", (30, 90)), ("L", (1, 1)), ("P", (65, 64))]
    pictures = [Image.new(mode, size) for mode, size in shapes]
    verdicts = judge.label(pictures)
    assert len(verdicts) == len(pictures)
    assert all(set(verdict) == ATTRIBUTES for verdict in verdicts)
    assert judge.label([]) == []
    values = pixels([Image.new("RGB", (9, 9), "white"), Image.new("RGB", (64, 64), "black")])
    assert values.shape == (2, 3, 64, 64) and values.dtype == torch.float32
    assert values[0].min() == values[0].max() == 1 and values[1].min() == values[1].max() == -1


@pytest.mark.parametrize(("kind", "width"), [(JudgeNetwork, 16), (StridedNetwork, 8)])
def test_a_batch_is_judged_as_each_alone(kind: type[Network], width: int) -> None:
    torch.manual_seed(0)
    judge = EmojiJudge(kind(CHANNELS), HEADS)
    pictures = [Image.new("RGB", (64, 64), (3 * n, 255 - 3 * n, 90)) for n in range(70)]
    together = judge.scores(pictures)["subject"]
    assert torch.allclose(together[69], judge.scores(pictures[69:])["subject"][0], atol=1e-5)
    assert len(judge.label(pictures)) == 70
    assert judge.features(pictures[:2]).shape == (2, width)


def test_what_it_is_unsure_of_is_unscored_with_a_reason(network: Network) -> None:
    sure_of(network, "gender", "female")
    sure_of(network, "tone", "light", "dark")
    (verdict,) = EmojiJudge(network, HEADS).label([Image.new("RGB", (64, 64))])
    assert verdict["gender"].label == "female" and verdict["gender"].reason is None
    assert verdict["gender"].confidence > 0.99
    # Thirty-seven subjects, all alike.
    assert verdict["subject"].label is None
    assert verdict["subject"].confidence == pytest.approx(1 / len(words.SUBJECTS), abs=1e-3)
    assert verdict["subject"].reason == f"unsure: {words.SUBJECTS[0]} at {1 / len(words.SUBJECTS):.2f}"


def test_a_category_may_be_sure_where_the_item_is_not(network: Network) -> None:
    sure_of(network, "item", "knife", "dagger", "axe")
    (verdict,) = EmojiJudge(network, HEADS).label([Image.new("RGB", (64, 64))])
    assert verdict["item"].label is None and "unsure" in (verdict["item"].reason or "")
    assert verdict["item category"].label == "weapon"
    assert verdict["item category"].confidence == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"channels": None}, "channels"),
        ({"channels": (16, 16, 16, 16)}, "tensors"),
        ({"channels": (8, 8, 8)}, "four numbers"),
        ({"channels": (8, 8, 8, 10**9)}, "four numbers"),
        ({"network": "a large one"}, "no network 'a large one'"),
        ({"channels": 8}, "iterable"),
        ({"heads": {**HEADS, "gender": ["female", "male"]}}, "labels"),
        ({"heads": ["subject"]}, "items"),
    ],
)
def test_a_judge_of_another_make_is_refused(
    network: Network, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    path = write(network, tmp_path / "judge.safetensors", **changes)
    with pytest.raises(ModelError, match=r"no emoji judge.*Try: ") as refused:
        EmojiJudge.load(path)
    assert why in refused.value.happened


def test_files_that_are_no_judge_are_refused(network: Network, tmp_path: Path) -> None:
    whole = write(network, tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("not a network")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "words.safetensors", {"judge": "a small one"})
    save_file({"x": torch.zeros(1)}, tmp_path / "list.safetensors", {"judge": "[]"})
    for name in ("cut", "text", "foreign", "words", "list", "absent"):
        with pytest.raises(ModelError, match=f"{name}.safetensors' is no emoji judge"):
            EmojiJudge.load(tmp_path / f"{name}.safetensors")


def test_a_file_says_which_network_it_holds(tmp_path: Path) -> None:
    """One reader for both judges; the file of the first says nothing, or "residual"."""
    for kind, name in ((JudgeNetwork, None), (JudgeNetwork, "residual"), (StridedNetwork, "strided")):
        path = write(kind(CHANNELS), tmp_path / "judge.safetensors", network=name)
        assert isinstance(EmojiJudge.load(path).network, kind)
    path = write(StridedNetwork(CHANNELS), tmp_path / "judge.safetensors", network="residual")
    with pytest.raises(ModelError, match="its tensors are not those of the network it names"):
        EmojiJudge.load(path)


def test_the_held_out_judge_is_another_one_of_the_same_labels(tmp_path: Path) -> None:
    path = write(StridedNetwork(CHANNELS), tmp_path / "judge.safetensors")
    first, held_out = EmojiJudge.load(path), HeldOutEmojiJudge.load(path)
    assert isinstance(held_out, HeldOutEmojiJudge) and held_out.held_out
    assert held_out.labels == first.labels and held_out.name != first.name
    assert held_out.config["judge"] == "held-out emoji judge"


def test_normalisation_is_folded_away() -> None:
    torch.manual_seed(0)
    trained = StridedNetwork(CHANNELS, normalised=True)
    batches = [torch.rand(6, 3, 64, 64) * scale - 0.5 for scale in (0.2, 1.0)]
    trained.settle(batches)
    shipped = trained.folded()
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in shipped.modules())
    assert set(shipped.state_dict()) == set(StridedNetwork(CHANNELS).state_dict())
    for head, scores in trained(batches[0]).items():
        assert torch.allclose(shipped(batches[0])[head], scores, atol=1e-5)
    assert torch.allclose(shipped.features(batches[1]), trained.features(batches[1]), atol=1e-5)
