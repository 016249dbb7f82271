"""`import directrix` is light, and functions are not hidden by the modules of the same name."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    "Gauge",
    "fit_gauge",
    "Fair",
    "fair",
    "Safe",
    "Policy",
    "understand",
    "reproduce",
    "DirectrixError",
]
IMPORTS = [
    "import directrix",
    "import directrix.steer",
    "import directrix.generate, directrix.discover",
    "from directrix import steer, generate, discover",
    "from directrix.steer import Steering",
    "from directrix.generate import iterate",
    "from directrix.discover import discover",
    "import directrix.discover.collect",
    "import directrix.apply.fair",
    "from directrix import fair, Fair, Policy",
]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    heavy = "torch diffusers transformers numpy PIL yaml safetensors tqdm importlib.metadata"
    assert run(f"import directrix, sys; print([m for m in '{heavy}'.split() if m in sys.modules])") == "[]\n"


def test_functions_win_in_every_order_of_imports():
    # One process for all orders: what was imported is forgotten before each.
    code = f"""
import itertools, sys, types, torch, diffusers
for order in itertools.permutations({IMPORTS!r}, 2):
    for name in [name for name in sys.modules if name.split(".")[0] == "directrix"]:
        del sys.modules[name]
    scope = {{}}
    for statement in order:
        exec(statement, scope)
    import directrix
    for name in ("load", "steer", "generate", "discover", "fair"):
        value = getattr(directrix, name)
        assert isinstance(value, types.FunctionType), (order, name, value)
        assert scope.get(name, value) is value, (order, name)
    for name in ("steer", "generate", "discover"):
        assert isinstance(sys.modules["directrix." + name], types.ModuleType)
print("fine")
"""
    assert run(code) == "fine\n"


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
