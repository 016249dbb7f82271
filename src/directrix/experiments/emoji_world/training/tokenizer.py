"""The tokenizer: a CLIP byte-level BPE whose merges are learned from the world's captions and takes any text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY_SIZE = 1400
# CLIP's own split of text into words, numbers and signs.
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def build(captions: Iterable[str], folder: Path, length: int) -> CLIPTokenizer:
    """Learn the merges, write ``vocab.json`` and ``merges.txt`` to ``folder`` and load them as a CLIPTokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    learner = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 2 - len(alphabet),
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    # As in CLIP: every byte, every byte at a word's end, then the merges in their order, then the two marks.
    symbols = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    symbols += ["".join(merge).replace(" ", "") for merge in merges]
    vocabulary = {symbol: index for index, symbol in enumerate([*dict.fromkeys(symbols), START, END])}
    _write(folder, vocabulary, merges)
    files = (str(folder / "vocab.json"), str(folder / "merges.txt"))
    return CLIPTokenizer(*files, unk_token=END, bos_token=START, eos_token=END, pad_token=END, model_max_length=length)


def write_parts(folder: Path) -> None:
    """Write the ``vocab.json`` and ``merges.txt`` of the ``tokenizer.json`` that is there, for transformers 4.

    That itself writes these two, and no ``tokenizer.json``.
    """
    whole = folder / "tokenizer.json"
    if whole.exists():
        model = json.loads(whole.read_text(encoding="utf-8"))["model"]
        _write(folder, model["vocab"], model["merges"])


def _write(folder: Path, vocabulary: Mapping[str, int], merges: Iterable[str | Sequence[str]]) -> None:
    lines = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
