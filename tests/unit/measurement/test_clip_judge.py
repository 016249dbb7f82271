"""The CLIP judge against a computation of one text and one picture at a time, and what it refuses."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from directrix.errors import DirectrixError, ModelError
from directrix.experiments.emoji_world.render import backdrop
from directrix.measurement.judges.clip import ClipEncoder, ClipJudge
from directrix.measurement.judges.emoji_vocabulary import SETTING_PHRASES
from directrix.models import embedded

LENGTH = 24
ATTRIBUTES = {
    "gender": {"female": "a woman", "male": ("a man", "a gentleman")},
    # The last is far longer than the model reads.
    "item": {"knife": ["knife"], "none": "nothing at all", "book": "a book " * 20},
}
TEMPLATES = ("a photo of {}", "{}, 3D")


@pytest.fixture(scope="module")
def make_judge(make_clip: Callable[..., tuple[Any, Any, Any]]) -> Callable[..., ClipJudge]:
    def make(attributes: Any = ATTRIBUTES, end_mark: int | None = None, **options: Any) -> ClipJudge:
        settings: dict[str, Any] = {"templates": TEMPLATES, **options}
        size = settings.pop("batch_size", 32)
        return ClipJudge(ClipEncoder(*make_clip(end_mark), batch_size=size), attributes, **settings)

    return make


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (40, 20), (17, 64), (3, 3), (3, 50)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.fixture(scope="module")
def folder(make_judge: Callable[..., ClipJudge], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint in half precision."""
    judge, where = make_judge(), tmp_path_factory.mktemp("clip")
    for part in (judge.encoder.model.half(), judge.encoder.tokenizer, judge.encoder.image_processor):
        part.save_pretrained(where)
    return where


def reference_image(model: Any, picture: Image.Image) -> torch.Tensor:
    """Shortest side to 16, the middle cut out, OpenAI's normalisation: written out, one picture."""
    width, height = picture.size
    short = min(width, height)
    resized = picture.resize((16 * width // short, 16 * height // short), Image.Resampling.BICUBIC)
    left, top = (resized.width - 16) // 2, (resized.height - 16) // 2
    pixels = np.asarray(resized.crop((left, top, left + 16, top + 16)), dtype=np.float64) / 255
    pixels = (pixels - (0.48145466, 0.4578275, 0.40821073)) / (0.26862954, 0.26130258, 0.27577711)
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    return model.visual_projection(model.vision_model(values).pooler_output)[0]


def reference_text(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """One text without any padding, cut by hand, read at its last token."""
    tokens = tokenizer(text)["input_ids"]
    if len(tokens) > LENGTH:
        tokens = [*tokens[: LENGTH - 1], tokenizer.eos_token_id]
    hidden = model.text_model(torch.tensor([tokens])).last_hidden_state
    return model.text_projection(hidden[0, -1])


@torch.no_grad()
def reference(judge: ClipJudge, picture: Image.Image) -> dict[str, dict[str, float]]:
    """The chances of all labels by loops over plain numbers."""
    image = reference_image(judge.encoder.model, picture).double()
    image = image / image.norm()
    found = {}
    for attribute, labels in ATTRIBUTES.items():
        weights = {}
        for label, phrases in labels.items():
            total, count = torch.zeros(8, dtype=torch.float64), 0
            for phrase in [phrases] if isinstance(phrases, str) else phrases:
                for template in TEMPLATES:
                    text = reference_text(
                        judge.encoder.model, judge.encoder.tokenizer, template.format(phrase)
                    ).double()
                    total, count = total + text / text.norm(), count + 1
            mean = total / count
            cosine = float(image @ mean) / float(mean.norm())
            weights[label] = math.exp(math.exp(float(judge.encoder.model.logit_scale)) * cosine)
        found[attribute] = {label: weight / sum(weights.values()) for label, weight in weights.items()}
    return found


@pytest.mark.parametrize("end_mark", [None, 2])
def test_it_agrees_with_one_text_and_one_picture_at_a_time(
    make_judge: Callable[..., ClipJudge], pictures: list[Image.Image], end_mark: int | None
) -> None:
    judge = make_judge(end_mark=end_mark, sure=0.0)
    scores = judge.scores(pictures)
    assert not judge.encoder.model.training and not any(each.requires_grad for each in scores.values())
    verdicts = judge.label(pictures)
    for row, picture in enumerate(pictures):
        expected = reference(judge, picture)
        for attribute, chances in expected.items():
            found = dict(zip(judge.labels[attribute], scores[attribute][row].softmax(0).tolist(), strict=True))
            assert found == pytest.approx(chances, abs=2e-4)
            best = max(chances, key=lambda label: chances[label])
            assert verdicts[row][attribute].label == best
            assert verdicts[row][attribute].confidence == pytest.approx(chances[best], abs=3e-4)
    # The comparison says something only where pictures and labels differ.
    assert scores["gender"].std() > 0.01 and scores["item"].std() > 0.01


@torch.no_grad()
def test_features_have_length_one_and_do_not_depend_on_the_batch(
    make_judge: Callable[..., ClipJudge], pictures: list[Image.Image]
) -> None:
    judge, single = make_judge(), make_judge(batch_size=1)
    features = judge.features(pictures)
    assert features.shape == (5, 8) and features.dtype == torch.float32
    assert torch.allclose(features.norm(dim=1), torch.ones(5), atol=1e-6)
    assert torch.equal(features, judge.features(pictures))
    torch.testing.assert_close(features, single.features(pictures), atol=1e-5, rtol=0)
    for attribute, texts in judge.text_features.items():
        torch.testing.assert_close(texts, single.text_features[attribute], atol=1e-5, rtol=0)
    assert judge.features([]).shape == (0, 8) and judge.label([]) == []


def test_pictures_of_any_mode(make_judge: Callable[..., ClipJudge]) -> None:
    judge = make_judge()
    shapes = [("RGB", (64, 64)), ("RGBA", (30, 90)), ("L", (1, 1)), ("P", (65, 64)), ("1", (1, 3))]
    verdicts = judge.label([Image.new(mode, size) for mode, size in shapes])
    assert [set(verdict) for verdict in verdicts] == [{"gender", "item"}] * len(shapes)


def test_what_it_is_unsure_of_is_unscored_with_a_reason(
    make_judge: Callable[..., ClipJudge], pictures: list[Image.Image]
) -> None:
    same = {"gender": {"female": "a person", "male": "a person"}, "item": dict.fromkeys("abc", "a thing")}
    (verdict,) = make_judge(same, sure=0.6).label(pictures[:1])
    assert verdict["gender"] == (None, 0.5, "unsure: female at 0.50")
    assert verdict["item"].label is None and verdict["item"].confidence == pytest.approx(1 / 3, abs=1e-4)
    (verdict,) = make_judge(same, sure=0.3).label(pictures[:1])
    assert verdict["item"].label == "a" and verdict["item"].reason is None


@pytest.mark.parametrize(
    ("attributes", "options", "why"),
    [
        ({}, {}, "no attribute"),
        ({"gender": {"female": "a woman"}}, {}, "fewer than two labels"),
        ({"gender": ["female", "male"]}, {}, "fewer than two labels"),
        ({"gender": {"female": "a woman", "male": " "}}, {}, "'male'.*empty phrase"),
        ({"gender": {"female": "a woman", "male": ["a man", ""]}}, {}, "'male'.*empty phrase"),
        ({"gender": {"female": "a woman", "male": []}}, {}, "'male'.*empty phrase"),
        (ATTRIBUTES, {"templates": ("a photo of {}", "a photo")}, "'a photo' has no"),
        (ATTRIBUTES, {"templates": ()}, "no template"),
        (ATTRIBUTES, {"sure": 1.1}, "sure is 1.1"),
        (ATTRIBUTES, {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_words_and_numbers_that_make_no_judge_are_refused(
    make_judge: Callable[..., ClipJudge], attributes: Any, options: Any, why: str
) -> None:
    with pytest.raises(DirectrixError, match=f"{why}.* Expected: .* Try: "):
        make_judge(attributes, **options)


def test_a_tokenizer_of_another_model_is_refused(make_judge: Callable[..., ClipJudge]) -> None:
    with pytest.raises(ModelError, match="the model knows 514 and expects 7"):
        make_judge(end_mark=7)


def test_a_folder_loads_in_single_precision(folder: Path, pictures: list[Image.Image], capfd: Any) -> None:
    judge = ClipJudge.load(folder, ATTRIBUTES, device="cpu", templates="{}", sure=0.0)
    assert judge.encoder.model.dtype == torch.float32 and judge.label(pictures[:1])[0]["gender"].label
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("config.json", "config"),
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "(image processor|preprocessor_config)"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(folder: Path, tmp_path: Path, name: str, why: str) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    # transformers 4 keeps a tokenizer in other files as well.
    for each in (name, *(("vocab.json", "merges.txt") if "tokenizer" in name else ())):
        (broken / each).unlink(missing_ok="tokenizer" in name)
    # Weights in a pickle are no weights.
    (broken / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=f"{why}.* Expected: .* Try: "):
        ClipJudge.load(broken, device="cpu")


def test_weights_that_are_not_those_of_a_whole_clip_are_refused(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks tensors.*visual_projection\.weight"):
        ClipJudge.load(broken, device="cpu")
    (broken / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match="cannot be loaded"):
        ClipJudge.load(broken, device="cpu")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(ModelError, match="is a siglip"):
        ClipJudge.load(broken, device="cpu")


@pytest.mark.parametrize("name", ["nobody/no-such-clip", "nonsense", "./no/such/folder", "too/many/parts"])
def test_names_that_lead_nowhere_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"(is not on this machine|There is no folder).*Try: --judge clip:FOLDER"):
        ClipJudge.load(name, device="cpu")


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="to the device 'nonsense'"):
        ClipJudge.load(folder, device="nonsense")


@pytest.mark.world
def test_the_embedded_clip_knows_its_own_backdrops() -> None:
    settings = {name: [f"a person {each}" for each in phrases] for name, phrases in SETTING_PHRASES.items()}
    judge = ClipJudge.load("emoji", {"setting": settings}, device="cpu")
    assert judge.encoder.model.name_or_path == str(embedded.clip_path())
    pictures = [backdrop(name, 64, np.random.default_rng(0)).convert("RGB") for name in settings]
    found = [verdict["setting"].label for verdict in judge.label([*pictures, Image.new("RGB", (64, 64))])]
    assert len(found) == len(settings) + 1
    assert sum(a == b for a, b in zip(found, settings, strict=False)) >= len(settings) - 1
