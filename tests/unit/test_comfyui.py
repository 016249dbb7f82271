"""The ComfyUI nodes, against a stand-in of what they touch of ComfyUI.

No package carries ComfyUI's models, so `ModelPatcher`, `folder_paths` and the sampler's dictionary are written here
from their interface: patches are called in order with {"h", ..., "transformer_options"}, and give a dictionary back;
the batch is made of chunks, which `cond_or_uncond` names, 0 for the prompt's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from directrix.directions.direction import Direction, Strengths
from directrix.interventions.steering import steer
from directrix.models import hooks
from directrix.models.identity import ModelIdentity, Site

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
STEPS = 4


@pytest.fixture(scope="module")
def comfy() -> Any:
    """The package, imported as ComfyUI imports a folder of custom nodes."""
    spec = importlib.util.spec_from_file_location(
        "custom_node", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["custom_node"] = module
    spec.loader.exec_module(module)
    yield module
    for name in [each for each in sys.modules if each.split(".")[0] == "custom_node"]:
        del sys.modules[name]


class ModelPatcher:
    """Holds patches; a clone has its own list of them."""

    def __init__(self, patches: Any = ()) -> None:
        self.patches = list(patches)

    def clone(self) -> ModelPatcher:
        return ModelPatcher(self.patches)

    def set_model_middle_block_after_patch(self, patch: Any) -> None:
        self.patches.append(patch)

    def run(self, h: torch.Tensor, told: Any) -> torch.Tensor:
        for patch in self.patches:
            h = patch({"h": h, "x": None, "emb": None, "transformer_options": told})["h"]
        return h


def steered(comfy: Any, direction: Any, strength: float = 1.0, *more: Any, model: Any = None) -> ModelPatcher:
    node = comfy.NODE_CLASS_MAPPINGS["DirectrixSteer"]()
    options = [*more, *["conditional", 0.0, 1.0, "refuse"][len(more) :]]
    return node.steer(model or ModelPatcher(), direction, strength, *options)[0]


def make(shape: tuple[int, ...] = (32, 4, 4), seed: int = 0, name: str = "woman", **more: Any) -> Direction:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    site = more.pop("site", Site("mid_block", shape[0]))
    return Direction(name, tensor, site, ModelIdentity("some/model", "", "a" * 64), **more)


@pytest.fixture
def read(comfy: Any, tmp_path: Path) -> Callable[..., Any]:
    """Writes a direction with Directrix and reads it with the node's own reader."""

    def write(direction: Direction) -> Any:
        direction.save(tmp_path / f"{direction.name}.safetensors")
        return sys.modules["custom_node.direction_file"].read(tmp_path / f"{direction.name}.safetensors")

    return write


def test_the_file_is_read_as_directrix_wrote_it(read: Callable[..., Any]):
    direction = make(strengths=Strengths(0.8, -1.0, 2.5))
    found = read(direction)
    assert torch.equal(found.tensor, direction.tensor)
    assert found[2:] == ("some/model", 0.8, -1.0, 2.5)


def test_nothing_else_is_read(comfy: Any, read: Callable[..., Any], tmp_path: Path):
    from safetensors.torch import save_file

    reader = sys.modules["custom_node.direction_file"].read
    save_file({"lora": torch.zeros(2)}, tmp_path / "lora.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("lora", "text", "missing"):
        with pytest.raises(ValueError, match=f"{name}.safetensors"):
            reader(tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"site 'up_blocks\.0'"):
        read(make(site=Site("up_blocks.0", 32)))
    make().save(tmp_path / "whole.safetensors")
    data = bytearray((tmp_path / "whole.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "whole.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="not those that were saved"):
        reader(tmp_path / "whole.safetensors")
    newer = bytes(data).replace(b'\\"format\\": 1', b'\\"format\\": 2')
    assert newer != bytes(data)
    (tmp_path / "whole.safetensors").write_bytes(newer)
    with pytest.raises(ValueError, match="has format 2"):
        reader(tmp_path / "whole.safetensors")


@pytest.mark.parametrize("kinds", [[0], [1], [1, 0], [0, 1], [0, 0, 1]])
@pytest.mark.parametrize("branch", ["conditional", "unconditional", "both"])
def test_the_rows_that_are_steered(comfy: Any, read: Callable[..., Any], kinds: list[int], branch: str):
    direction = read(make())
    h = torch.randn(2 * len(kinds), 32, 4, 4)
    retained = h.clone()
    out = steered(comfy, direction, 0.5, branch).run(h, {"cond_or_uncond": kinds})
    assert torch.equal(h, retained)
    wanted = {"conditional": (0,), "unconditional": (1,), "both": (0, 1)}[branch]
    for place, kind in enumerate(kinds):
        rows = slice(2 * place, 2 * place + 2)
        assert torch.equal(out[rows], h[rows] + 0.5 * direction.tensor if kind in wanted else h[rows])


def test_the_model_that_came_in_stays_as_it_is(comfy: Any, read: Callable[..., Any]):
    a, b = read(make()), read(make(seed=1, name="old", shape=(32,)))
    model, h, told = ModelPatcher(), torch.randn(2, 32, 4, 4), {"cond_or_uncond": [1, 0]}
    first = steered(comfy, a, model=model)
    both = steered(comfy, b, -0.5, model=first)
    assert [len(each.patches) for each in (model, first, both)] == [0, 1, 2]
    torch.testing.assert_close(both.run(h, told)[1], h[1] + a.tensor - 0.5 * b.tensor[:, None, None])
    assert steered(comfy, a, 0.0).patches == steered(comfy, a, 1.0, "both", 0.5, 0.5).patches == []
    assert torch.equal(steered(comfy, a, 0.0).run(h, told), h)
    half = h.half()
    out = steered(comfy, a).run(half, told)
    assert out.dtype == torch.float16 and torch.equal(out[0], half[0])


def test_other_sizes(comfy: Any, read: Callable[..., Any]):
    ours = make()
    direction, told = read(ours), {"cond_or_uncond": [0]}
    h = torch.zeros(1, 32, 6, 4)
    with pytest.raises(ValueError, match="found at 4 x 4 activations; this picture has 6 x 4"):
        steered(comfy, direction).run(h, told)
    options = ("conditional", 0.0, 1.0)
    resized = steered(comfy, direction, 1.0, *options, "resize").run(h, told)[0]
    assert torch.equal(resized, ours.resized(6, 4).tensor)
    average = steered(comfy, direction, 1.0, *options, "average").run(h, told)[0]
    torch.testing.assert_close(average, ours.pooled().resized(6, 4).tensor)
    with pytest.raises(ValueError, match=r"32 channels, this model's middle block 64.*some/model"):
        steered(comfy, direction).run(torch.zeros(1, 64, 4, 4), told)


@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (0.3, 0.6)])
def test_the_pictures_are_those_of_steer(
    comfy: Any, read: Callable[..., Any], pipeline: Any, start: float, stop: float
):
    """Diffusers draws; its mid block's output goes through the node, told what ComfyUI's sampler would tell."""
    from directrix import models

    ours = make().with_(model=models.identity(pipeline))
    model = steered(comfy, read(ours), 0.8, "conditional", start, stop)
    sigmas = torch.tensor([14.6, 5.0, 1.5, 0.4, 0.0])
    assert len(sigmas) == STEPS + 1
    step = iter(range(STEPS))

    def draw() -> torch.Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
        options = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "output_type": "latent"}
        return pipeline(["a judge", "a cook"], generator=generators, **options).images

    def patched(h: torch.Tensor) -> torch.Tensor:
        # diffusers puts the unconditional half first.
        now = sigmas[next(step)].repeat(2)
        return model.run(h, {"cond_or_uncond": [1, 0], "sigmas": now, "sample_sigmas": sigmas})

    with steer(pipeline, {ours: 0.8}, start=start, stop=stop):
        expected = draw()
    with hooks.edit_output(pipeline.unet.mid_block, patched):
        assert torch.equal(draw(), expected)


def test_the_window_needs_to_know_the_step(comfy: Any, read: Callable[..., Any]):
    direction, h = read(make()), torch.zeros(1, 32, 4, 4)
    model = steered(comfy, direction, 1.0, "both", 0.0, 0.5)
    sigmas = torch.tensor([10.0, 5.0, 2.0, 1.0, 0.0])
    # Between two steps, as samplers of second order look, the nearer one counts.
    for now, is_steered in {10.0: True, 8.0: True, 5.0: True, 2.0: False, 1.0: False, 0.1: False}.items():
        told = {"cond_or_uncond": [0], "sigmas": torch.tensor([now]), "sample_sigmas": sigmas}
        assert bool(model.run(h, told).any()) is is_steered
    for told in ({}, {"sigmas": torch.tensor([1.0])}, {"sample_sigmas": sigmas}):
        with pytest.raises(ValueError, match="does not say which step"):
            model.run(h, {"cond_or_uncond": [0], **told})


def test_the_loader(comfy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths: Any = ModuleType("folder_paths")
    paths.models_dir, paths.folder_names_and_paths = str(tmp_path), {}

    def add(name: str, path: str) -> None:
        paths.folder_names_and_paths[name] = ([path], set())

    def full(name: str, file: str) -> str | None:
        path = os.path.join(paths.folder_names_and_paths[name][0][0], file)
        return path if os.path.isfile(path) else None

    paths.add_model_folder_path = add
    paths.get_filename_list = lambda name: sorted(os.listdir(paths.folder_names_and_paths[name][0][0]))
    paths.get_full_path = full
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    make(strengths=Strengths(0.8, -1.0, 2.0)).save(tmp_path / "directrix" / "woman.safetensors")
    (tmp_path / "directrix" / "put_directions_here").touch()
    node = comfy.NODE_CLASS_MAPPINGS["DirectrixLoadDirection"]
    assert node.INPUT_TYPES() == {"required": {"file": (["woman.safetensors"],)}}
    direction, strength, about = node().load("woman.safetensors")
    assert (direction.name, strength) == ("woman", 0.8)
    assert about == "woman, found with some/model; strength 0.8, sensible from -1 to 2"
    assert node.IS_CHANGED("woman.safetensors") > 0
    with pytest.raises(ValueError, match=r"no 'man.safetensors' in models/directrix"):
        node().load("man.safetensors")


def test_an_old_comfyui_is_told(comfy: Any, read: Callable[..., Any]):
    class Old:
        def clone(self) -> Old:
            return self

    with pytest.raises(ValueError, match="Update it"):
        steered(comfy, read(make()), model=Old())


def test_the_workflow_fits_the_nodes(comfy: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["custom_node.nodes"], "_files", lambda: ["woman.safetensors"])
    flow = json.loads((FOLDER / "workflow.json").read_text())
    nodes = {each["id"]: each for each in flow["nodes"]}
    for number, source, out, target, place, kind in flow["links"]:
        assert nodes[source]["outputs"][out]["type"] == nodes[target]["inputs"][place]["type"] == kind
        assert number in nodes[source]["outputs"][out]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
    assert all(each["link"] is not None for node in flow["nodes"] for each in node["inputs"])
    ours = {node["type"]: node for node in flow["nodes"] if node["type"].startswith("Directrix")}
    assert set(ours) == set(comfy.NODE_CLASS_MAPPINGS) == set(comfy.NODE_DISPLAY_NAME_MAPPINGS)
    for name, kind in comfy.NODE_CLASS_MAPPINGS.items():
        inputs = kind.INPUT_TYPES()["required"]
        wired = [each["name"] for each in ours[name]["inputs"]]
        widgets = [key for key in inputs if key not in wired]
        assert len(ours[name]["widgets_values"]) == len(widgets)
        for key, value in zip(widgets, ours[name]["widgets_values"], strict=True):
            kind_of = inputs[key][0]
            assert value in kind_of if isinstance(kind_of, list) else isinstance(value, float)
        assert [each["type"] for each in ours[name]["outputs"]] == list(kind.RETURN_TYPES)
        assert hasattr(kind, kind.FUNCTION)


def test_the_nodes_do_not_import_directrix():
    code = (
        f"import sys, importlib.util as u; f={str(FOLDER)!r};"
        "s=u.spec_from_file_location('n', f+'/__init__.py', submodule_search_locations=[f]);"
        "m=u.module_from_spec(s); sys.modules['n']=m; s.loader.exec_module(m);"
        "print([each for each in ('directrix', 'diffusers', 'transformers') if each in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
