"""Any model of transformers as a judge, on tiny random ones that are saved and loaded by folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from directrix.errors import DirectrixError, ModelError
from directrix.measurement import judges
from directrix.measurement.judges.huggingface import HuggingFaceJudge

OWN = {0: "woman", 1: "girl", 2: "man", 3: "dog"}
GENDER = {"gender": {"female": ["woman", "girl"], "male": "man"}}
TEXTS = {"gender": {"female": "a photo of a woman", "male": ["a photo of a man", "a man"]}}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=OWN,
        label2id={label: place for place, label in OWN.items()},
    )
    model = transformers.ViTForImageClassification(config)
    model.classifier.weight.data *= 200  # else it is as unsure of every image
    model.half().save_pretrained(folder)
    processor(32).save_pretrained(folder)
    return folder


def processor(size: int) -> Any:
    kind = getattr(transformers, "ViTImageProcessorPil", None) or transformers.ViTImageProcessor
    return kind(size={"height": size, "width": size})


@pytest.fixture(scope="module", params=["clip", "siglip"])
def zero_shot(request: Any, make_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    model, tokenizer, image_processor = make_clip()
    if request.param == "siglip":
        torch.manual_seed(0)
        common = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
        text = {**common, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 16}
        vision = {**common, "image_size": 16, "patch_size": 8}
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        image_processor = processor(16)
    for part in (model, tokenizer, image_processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (40, 20), (17, 64), (3, 3), (3, 50)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def test_a_classifiers_own_labels_are_the_attribute_label(classifier: Path, images: Any, capfd: Any) -> None:
    judge: Any = judges.load(f"hf:{classifier}", threshold=0.0, device="cpu", batch_size=2)
    assert judge.model.dtype == torch.float32 and judge.config["kind"] == "classifier"
    assert judge.config["classes"] == {"label": {label: [label] for label in OWN.values()}}
    verdicts = judge.label([*images, Image.new("RGB", (0, 3))])
    for image, verdict in zip(images, verdicts, strict=False):
        pixels = processor(32)(image, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        with torch.no_grad():
            chances = judge.model(pixels).logits.softmax(dim=1)[0]
        assert verdict["label"].label == OWN[int(chances.argmax())]
        assert verdict["label"].confidence == pytest.approx(float(chances.max()), abs=1e-4)
    assert verdicts[-1]["label"].label is None and "no pixels" in verdicts[-1]["label"].reason
    assert len({verdict["label"].confidence for verdict in verdicts[:-1]}) > 1
    assert json.loads(json.dumps(judge.config)) == judge.config
    assert capfd.readouterr() == ("", "")


def test_a_file_says_which_labels_make_a_category(classifier: Path, images: Any, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("threshold: 0.9\nattributes:\n  gender: {female: [woman, girl], male: man}\n")
    judge: Any = judges.load(f"hf:{classifier}@{tmp_path / 'labels.yaml'}", device="cpu")
    assert judge.sure == 0.9 and judge.labels == {"gender": {"female": ["woman", "girl"], "male": ["man"]}}
    every = HuggingFaceJudge.load(str(classifier), threshold=0.0, device="cpu")
    own = every.chances(images)["label"]
    found = judge.chances(images)["gender"]
    assert torch.allclose(found, torch.stack([own[:, 0] + own[:, 1], own[:, 2]], dim=1), atol=1e-6)
    for row, verdict in zip(found.tolist(), judge.label(images), strict=True):
        assert (verdict["gender"].label is None) == (max(row) < 0.9)
    assert judge.config["weights"] == every.config["weights"]


def test_a_classifier_of_several_labels_at_once(classifier: Path, images: Any) -> None:
    judge = HuggingFaceJudge.load(str(classifier), GENDER, device="cpu")
    judge.model.config.problem_type = "multi_label_classification"
    own = HuggingFaceJudge(judge.model, None, judge.image_processor).chances(images)["label"]
    assert own.sum(dim=1).max() > 1
    assert torch.equal(judge.chances(images)["gender"], torch.stack([own[:, :2].amax(dim=1), own[:, 2]], dim=1))


def test_a_zero_shot_model_reads_texts(zero_shot: Path, images: Any) -> None:
    judge = HuggingFaceJudge.load(str(zero_shot), TEXTS, threshold=0.0, device="cpu", batch_size=3)
    assert judge.config["kind"] == "zero-shot"
    chances, verdicts = judge.chances(images)["gender"], judge.label(images)
    assert torch.allclose(chances.sum(dim=1), torch.ones(5), atol=1e-5) and chances.std(dim=0).max() > 0
    for row, image in enumerate(images):
        one = judge.chances([image])["gender"][0]
        assert torch.allclose(one, chances[row], atol=1e-5)
        assert verdicts[row]["gender"].label == ("female", "male")[int(one.argmax())]
    (unsure,) = HuggingFaceJudge.load(str(zero_shot), TEXTS, threshold=1.0, device="cpu").label(images[:1])
    assert unsure["gender"].label is None and "unsure" in (unsure["gender"].reason or "")


def test_clip_by_either_name_says_the_same(make_clip: Any, images: Any, tmp_path: Path) -> None:
    for part in make_clip():
        part.save_pretrained(tmp_path)
    texts = {"gender": {"female": "a woman", "male": "a man"}}
    ours: Any = judges.load(f"clip:{tmp_path}", attributes=texts, templates=("{}",), sure=0.0, device="cpu")
    found = HuggingFaceJudge.load(str(tmp_path), texts, device="cpu").chances(images)["gender"]
    torch.testing.assert_close(found, ours.scores(images)["gender"].softmax(dim=1), atol=1e-5, rtol=0)


def test_what_makes_no_judge_is_refused(classifier: Path, zero_shot: Path, tmp_path: Path) -> None:
    def refused(part: str, model: Path, **options: Any) -> None:
        with pytest.raises(DirectrixError, match=part):
            HuggingFaceJudge.load(str(model), device="cpu", **options)

    refused("no texts.*labels.yaml", zero_shot)
    refused("no label 'lady'", classifier, labels={"gender": {"female": "lady", "male": "man"}})
    refused("fewer than two", classifier, labels={"gender": {"female": "woman"}})
    refused("threshold is 2", classifier, threshold=2)
    refused("batch_size is 0", classifier, batch_size=0)
    refused("cannot be read", classifier, labels=tmp_path / "none.yaml")
    (tmp_path / "labels.yaml").write_text("atributes: {}\n")
    refused("did you mean 'attributes'", classifier, labels=tmp_path / "labels.yaml")


def test_a_model_that_is_none_or_brings_code_is_refused(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not on this machine"):
        judges.load("hf:no/such-model", device="cpu")
    for change, why in (
        ({"model_type": "bert", "architectures": ["BertModel"]}, "neither a classifier"),
        ({"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine"}}, "cannot be loaded"),
    ):
        broken = shutil.copytree(classifier, tmp_path / str(change["model_type"]))
        (broken / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        config = json.loads((broken / "config.json").read_text())
        (broken / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ModelError, match=why):
            judges.load(f"hf:{broken}", device="cpu")
    assert not (tmp_path / "ran").exists()
    # Weights in a pickle are no weights, and a head that is not there is none.
    pickled = shutil.copytree(classifier, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        judges.load(f"hf:{pickled}", device="cpu")
