"""Whatever stands in a model's settings, drawing with it ends in an image or in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from directrix.cli import main
from fuzz import hostile
from fuzz.limits import cases, limited

SETTINGS = (
    *("model_index.json", "scheduler/scheduler_config.json", "unet/config.json", "vae/config.json"),
    *("text_encoder/config.json", "tokenizer/tokenizer_config.json"),
)


@pytest.fixture(scope="module")
def model(make_pipeline: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


# What other packages warn of is theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", SETTINGS)
def test_a_model_draws_or_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str):
    whole = (model / file).read_text(encoding="utf-8")

    @cases(6)
    @given(content=hostile.as_json(json.loads(whole)))
    def draw(content: bytes) -> None:
        (model / file).write_bytes(content)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with limited():
            words = ("--prompt", "a judge", "-n", "1", "--num-inference-steps", "1", "-o", str(tmp_path / "out"))
            code = main(["-q", "generate", "--model", str(model), *words])
        said = capsys.readouterr().err
        assert code in (0, 2, 3), said
        assert len([line for line in said.splitlines() if line.startswith("directrix ")]) == (code != 0), said

    try:
        draw()
    finally:
        (model / file).write_text(whole, encoding="utf-8")
