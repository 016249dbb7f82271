"""`import directrix` is light, and every public name is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NAMES = [
    "load",
    "Concept",
    "PromptPair",
    "AttributeSet",
    "Direction",
    "steer",
    "attach",
    "import_published",
    "generate",
    "discover",
    "calibrate",
    "Probe",
    "fit_probe",
    "Fair",
    "fair",
    "Safe",
    "Policy",
    "understand",
    "reproduce",
    "DirectrixError",
]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    heavy = "torch diffusers transformers numpy PIL yaml safetensors tqdm importlib.metadata directrix.guiders"
    assert run(f"import directrix, sys; print([m for m in '{heavy}'.split() if m in sys.modules])") == "[]\n"


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name: str):
    import directrix

    assert name in directrix.__all__
    assert name in dir(directrix)
    assert callable(getattr(directrix, name))


def test_unknown_names_raise():
    import directrix

    with pytest.raises(AttributeError, match="nothing"):
        directrix.nothing  # noqa: B018  # pyright: ignore


def test_star_import_and_version():
    assert run("from directrix import *; print(steer.__name__, load.__name__)") == "steer load\n"
    assert run("import directrix; print(type(directrix.__version__).__name__)") == "str\n"


def test_the_citation_is_of_this_version():
    import directrix

    assert f"version: {directrix.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
