"""What a file of weights is, by the names in its header: people have many of them, and they all end alike.

Nothing of a file is loaded for this, and nothing in it is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

# No header of a real model is larger, in bytes.
_LONGEST = 1 << 26
_BEGINNING = 1 << 18


class FileKind(NamedTuple):
    """What a file is, as in "it is a LoRA", and the remedy: what to do with it."""

    what: str
    remedy: str


LORA = FileKind(
    "a LoRA (Concept Sliders are such files too)",
    "--lora FILE in `directrix discover` or `generate`, or directrix.load(MODEL, lora=FILE).",
)
CHECKPOINT = FileKind(
    "a whole model in a single file", "--model FILE in `directrix discover` or `generate`, or directrix.load(FILE)."
)
DIRECTION = FileKind("a direction of Directrix", "--direction FILE in `directrix generate`.")
TORCH = FileKind(
    "a torch file (a pickle), which may run code when it is read", "`directrix import FILE` for the paper's unet.pth."
)
_PROBE = FileKind("a probe of Directrix", "`feedback: FILE` in a policy.")
_INVERSION = FileKind(
    "a textual inversion, which is an embedding for words of a prompt",
    'pipeline.load_textual_inversion("FILE") in Python, and its word in the prompts of `discover`.',
)
_RESPODIFF = FileKind(
    "a file of RespoDiff, whose directions come in two parts",
    "discover the concept with `--method trajectory`, which learns as RespoDiff does.",
)
_PART = "--model FOLDER with the pipeline's folder, the one that holds model_index.json."
# The first that fits any name counts: a LoRA's names contain those of what it changes.
_BY_NAME: tuple[tuple[str, FileKind], ...] = (
    (r"^lora_(unet|te\d?|transformer)_|[._]lora[._](A|B|down|up|linear)|\blora_[ABEM]\b|hada_w1|lokr_w", LORA),
    (r"^(emb_params|string_to_param|string_to_token)\b|^<.*>$|^clip_[lg]$|^t5xxl$", _INVERSION),
    (r"(^|\.)fc[12]\.weight$", _RESPODIFF),
    (r"^(control_model|controlnet_cond_embedding|input_hint_block)\b", FileKind("a ControlNet", "ControlNetModel.")),
    (
        r"^(ip_adapter|image_proj)\b",
        FileKind("an IP-Adapter", 'pipeline.load_ip_adapter("FILE") in Python, beside a direction.'),
    ),
    (r"^(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.", CHECKPOINT),
    (r"^(joint_blocks|double_blocks|single_blocks)\.", CHECKPOINT),
    (r"^(down_blocks|up_blocks|mid_block|transformer_blocks)\.", FileKind("the denoiser of a diffusers model", _PART)),
    (r"^(encoder|decoder)\.(down_blocks|up_blocks|mid_block|conv_in)\b", FileKind("the VAE of a model", _PART)),
    (r"^text_model\.", FileKind("the text encoder of a model", _PART)),
)
# Kinds that have no other names, and so many at least: a model of another sort may have one layer of that name.
_ALONE = {_INVERSION: 1, _RESPODIFF: 2}
_BY_METADATA = {"directrix": DIRECTION, "directrix-probe": _PROBE}
# Names that stand in a pickle as they are.
_IN_TORCH = ((rb"\blora_(unet|te|A|B|down|up)|\.lora\.", LORA), (rb"string_to_param", _INVERSION))
_BY_BEGINNING: tuple[tuple[bytes, FileKind], ...] = (
    (b"version https://git-lfs", FileKind("a pointer of Git LFS in place of the file", "`git lfs pull` there.")),
    (b"GGUF", FileKind("a GGUF file, of quantised weights", "a pipeline that holds them, loaded in Python.")),
    (b"PK\x03\x04", TORCH),
    (b"\x80", TORCH),
    (b"\x89PNG", FileKind("an image", "a file of weights.")),
    (b"\xff\xd8\xff", FileKind("an image", "a file of weights.")),
)
_WEB_PAGE = FileKind("a web page", "the address behind the page's own download button.")


def recognised(path: Path) -> FileKind | None:
    """What the file is, with its own name in the remedy; None where nothing shows it, or it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(_BEGINNING)
            length = int.from_bytes(start[:8], "little")
            file.seek(8)
            header = file.read(length) if 2 <= length <= _LONGEST and start[8:9] == b"{" else b""
    except OSError:
        return None
    found = next((kind for beginning, kind in _BY_BEGINNING if start.startswith(beginning)), None)
    if found is TORCH:
        found = next((kind for pattern, kind in _IN_TORCH if re.search(pattern, start)), TORCH)
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        found = _WEB_PAGE
    try:
        content = json.loads(header) if header else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        metadata = content.pop("__metadata__", None)
        known = _BY_METADATA.items() if isinstance(metadata, dict) else ()
        found = next((kind for key, kind in known if key in metadata), None) or of_names(content)
    return None if found is None else _about(path, found)


def described(path: Path, names: Collection[str]) -> FileKind | None:
    """As `recognised`, for a file whose tensors have these names."""
    found = of_names(names)
    return None if found is None else _about(path, found)


def _about(path: Path, kind: FileKind) -> FileKind:
    return FileKind(kind.what, kind.remedy.replace("FILE", str(path)))


def of_names(names: Collection[str]) -> FileKind | None:
    """What tensors of these names are; None where nothing shows it."""
    for pattern, kind in _BY_NAME:
        fitting = sum(re.search(pattern, name) is not None for name in names)
        if fitting and (kind not in _ALONE or len(names) == fitting >= _ALONE[kind]):
            return kind
    return None
