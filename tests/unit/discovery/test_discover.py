"""Discovery from end to end on a tiny random pipeline."""

import copy
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

import directrix
from directrix.concept import Concept
from directrix.discovery import optimize
from directrix.discovery import samples as collecting
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.noise_schedule import Schedule
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.samples import draw_samples
from directrix.discovery.settings import grouped
from directrix.errors import (
    ConceptError,
    DirectionFileError,
    DirectrixError,
    InterruptedRun,
    MismatchError,
    ModelError,
    OutputError,
    SiteError,
)
from directrix.models import hooks
from directrix.models.locks import locked
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")
DOG = Concept.of("dog", ["a dog", "a big dog"], "an animal")
SAFE = Concept.of("safe", negative="violence", neutral="a person")
QUICK = {
    "method": "reconstruction",
    "images": 6,
    "steps": 8,
    "batch_size": 4,
    "num_inference_steps": 2,
    "collection_batch_size": 4,
}


def discover(pipeline, concepts=WOMAN, **settings):
    return directrix.discover(pipeline, concepts, **grouped({**QUICK, **settings}))


def collect(pipeline, concepts, images, seed=0):
    call = PipelineCall(SteerableModel.of(pipeline), 3.0, 2)
    return draw_samples(call, concepts, images, Schedule.of(pipeline.scheduler, "epsilon"), seed=seed)


@pytest.fixture
def pipeline(make_pipeline):
    """One for each test: they change its scheduler, flags and weights."""
    return make_pipeline()


class Stop:
    """Progress that raises KeyboardInterrupt when a task has got so far."""

    def __init__(self, label, after):
        self.label, self.after = label, after

    def __call__(self, total, label):
        outer = self

        class Bar:
            done = 0

            def __enter__(self):
                return self

            def __exit__(self, *error):
                return None

            def advance(self, n=1):
                self.done += n
                if label == outer.label and self.done >= outer.after:
                    raise KeyboardInterrupt

        return Bar()


class Record:
    def __init__(self):
        self.tasks = []

    def __call__(self, total, label):
        task = {"total": total, "label": label, "done": 0}
        self.tasks.append(task)

        class Bar:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                return None

            def advance(self, n=1):
                task["done"] += n

        return Bar()


@pytest.mark.parametrize("method", ["reconstruction", "distillation"])
def test_a_direction_with_its_recipe(pipeline, method):
    found = discover(pipeline, method=method)
    assert found.name == "woman"
    assert found.tensor.ndim == 3 and found.tensor.dtype == torch.float32
    assert found.site == directrix.models.sites.find(pipeline)
    assert found.model == directrix.models.facts(pipeline).identity
    recipe = json.loads(json.dumps(dict(found.recipe)))
    assert recipe["method"] == method
    assert recipe["concept"]["pairs"][0] == {"target": "a woman", "neutral": "a person", "negative": None}
    evaluations = recipe["denoiser_evaluations"]
    assert evaluations["collecting"] == 6 * 2 * 2
    assert evaluations["forward_backward"] == 8 * 4
    assert evaluations["forward"] == (2 * 8 * 4 if method == "distillation" else 0)
    assert recipe["seconds"]["fitting"] >= 0 and len(recipe["loss"]["curve"]) == 8
    assert recipe["learning_rate"] == pytest.approx((0.3 if method == "distillation" else 0.001) * recipe["site_rms"])
    assert {"directrix", "torch", "diffusers", "date"} <= set(found.provenance)


def test_the_papers_settings_are_the_defaults():
    from directrix.discovery.reconstruction import Reconstruction

    defaults = Reconstruction.defaults
    assert (defaults.images, defaults.steps, defaults.batch_size) == (1000, 2500, 8)
    assert not Reconstruction().average


def test_the_pipeline_is_left_as_it_was(pipeline):
    pipeline.unet.train()
    pipeline.unet.mid_block.eval()
    next(pipeline.text_encoder.parameters()).requires_grad_(False)
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder, "vae": pipeline.vae}

    def flags():
        modules = [m.training for part in parts.values() for m in part.modules()]
        attention = [id(each) for each in pipeline.unet.attn_processors.values()]
        return modules, [p.requires_grad for part in parts.values() for p in part.parameters()], attention

    before, values = flags(), {k: copy.deepcopy(v.state_dict()) for k, v in parts.items()}
    discover(pipeline)
    with pytest.raises(InterruptedRun):
        discover(pipeline, progress=Stop("Fitting", 2))
    with pytest.raises(DirectrixError, match="loss is"):
        discover(pipeline, learning_rate=1e38)
    assert flags() == before
    for name, part in parts.items():
        assert all(torch.equal(value, values[name][key]) for key, value in part.state_dict().items())
        assert all(weight.grad is None for weight in part.parameters())
    assert not any(module._forward_hooks for module in pipeline.unet.modules())


@pytest.mark.parametrize("method", ["reconstruction", "distillation"])
def test_same_seed_same_direction(pipeline, method):
    first, again, other = (discover(pipeline, method=method, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.tensor, again.tensor)
    assert not torch.equal(first.tensor, other.tensor)


@pytest.mark.parametrize("method", ["reconstruction", "distillation"])
@pytest.mark.parametrize(("label", "after"), [("Drawing images", 4), ("Fitting", 5), ("Fitting", 7)])
def test_resumed_equals_uninterrupted_bit_for_bit(pipeline, tmp_path, method, label, after):
    settings = {"method": method, "concepts": [WOMAN, DOG], "checkpoint_every": 2}
    whole = discover(pipeline, **settings)
    folder = tmp_path / "run"
    with pytest.raises(InterruptedRun, match="run the same again with checkpoint=") as stopped:
        discover(pipeline, **settings, checkpoint=folder, progress=Stop(label, after))
    assert str(folder) in str(stopped.value)
    record = Record()
    resumed = discover(pipeline, **settings, checkpoint=folder, progress=record)
    assert [torch.equal(a.tensor, b.tensor) for a, b in zip(whole, resumed, strict=True)] == [True, True]
    assert all(task["done"] == task["total"] for task in record.tasks)
    for key in ("loss", "denoiser_evaluations", "learning_rate"):
        assert whole[0].recipe[key] == resumed[0].recipe[key]
    assert not list(folder.glob("*.part"))


def test_a_killed_run_goes_on_from_the_last_checkpoint(pipeline, tmp_path, monkeypatch):
    whole = discover(pipeline, checkpoint_every=3)
    step = optimize._step

    def killed(problem, state, *rest):
        if state.step == 5:
            raise RuntimeError("killed")
        return step(problem, state, *rest)

    monkeypatch.setattr(optimize, "_step", killed)
    with pytest.raises(RuntimeError):
        discover(pipeline, checkpoint_every=3, checkpoint=tmp_path)
    steps = []
    monkeypatch.setattr(optimize, "_step", lambda p, s, *rest: (steps.append(s.step), step(p, s, *rest))[1])
    monkeypatch.setattr(collecting, "_draw", None)  # nothing is drawn again
    resumed = discover(pipeline, checkpoint_every=3, checkpoint=tmp_path)
    assert steps == [3, 4, 5, 6, 7]
    assert torch.equal(whole.tensor, resumed.tensor)


def test_interrupted_without_a_checkpoint_says_how_to_keep_work(pipeline):
    with pytest.raises(InterruptedRun, match=r"nothing was saved.*checkpoint=FOLDER"):
        discover(pipeline, progress=Stop("Fitting", 2))


def test_a_checkpoint_of_other_settings_is_refused(pipeline, tmp_path):
    discover(pipeline, checkpoint=tmp_path)
    with pytest.raises(MismatchError, match="steps: 8 there, 9 here"):
        discover(pipeline, steps=9, checkpoint=tmp_path)
    with pytest.raises(MismatchError, match="concepts"):
        discover(pipeline, DOG, checkpoint=tmp_path)
    with torch.no_grad():
        next(pipeline.unet.parameters()).neg_()
    with pytest.raises(MismatchError, match="model"):
        discover(pipeline, checkpoint=tmp_path)


def test_damaged_and_unusable_checkpoints(pipeline, tmp_path):
    discover(pipeline, checkpoint=tmp_path / "a")
    (tmp_path / "a" / "fit.safetensors").write_bytes(b"short")
    with pytest.raises(DirectionFileError, match=r"fit.safetensors' is not a readable safetensors file.*delete it"):
        discover(pipeline, checkpoint=tmp_path / "a")
    (tmp_path / "a" / "settings.json").write_text("{")
    with pytest.raises(DirectionFileError, match="the settings of a discovery"):
        discover(pipeline, checkpoint=tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be used"):
        discover(pipeline, checkpoint=tmp_path / "file")


def test_several_concepts_each_get_their_own_vector(pipeline):
    woman, dog = discover(pipeline, [WOMAN, DOG], steps=20)
    assert (woman.name, dog.name) == ("woman", "dog")
    assert woman.cosine(dog) < 0.9
    assert woman.recipe["denoiser_evaluations"]["forward_backward"] == 2 * 20 * 4
    assert dog.recipe["learned_together"] == ["woman", "dog"]


def test_a_concept_gets_the_same_images_alone_and_beside_others(pipeline):
    alone = collect(pipeline, [DOG], 4, seed=4)
    beside = collect(pipeline, [WOMAN, DOG], 4, seed=4)
    assert beside.concept.tolist() == [0] * 4 + [1] * 4
    assert [beside.pairs[i].target for i in beside.pair[4:]] == ["a dog", "a big dog"] * 2
    torch.testing.assert_close(alone.latents, beside.latents[4:], rtol=1e-3, atol=1e-3)
    assert len({row.numpy().tobytes() for row in beside.latents}) == 8


def test_the_latents_are_those_the_pipeline_makes(pipeline):
    from directrix.discovery.environment import generator

    samples = collect(pipeline, [WOMAN], 1, seed=5)
    image = pipeline(
        "a woman",
        generator=generator(5, "image", "a woman", "", 0),
        guidance_scale=3.0,
        num_inference_steps=2,
        output_type="latent",
    ).images
    torch.testing.assert_close(samples.latents, image)


def test_anti_concepts_are_drawn_with_the_negative_prompt(pipeline):
    seen = []
    call = type(pipeline).__call__

    class Watched(type(pipeline)):
        def __call__(self, prompt, **kwargs):
            seen.append((prompt, kwargs["negative_prompt"]))
            return call(self, prompt, **kwargs)

    pipeline.__class__ = Watched
    collect(pipeline, [WOMAN], 1)
    collect(pipeline, [WOMAN, SAFE], 1)
    # Beside the short call that shows whether there are two branches.
    drawn = [each for each in seen if each[0] != ["a"]]
    assert drawn == [(["a woman"], None), (["a woman", "a person"], ["", "violence"])]
    for method in ("reconstruction", "distillation"):
        assert discover(pipeline, SAFE, method=method).norm() > 0
        with pytest.raises(ConceptError, match="negative prompt does nothing"):
            discover(pipeline, SAFE, method=method, guidance_scale=1.0)


@pytest.mark.parametrize("method", ["reconstruction", pytest.param("distillation", marks=pytest.mark.slow)])
def test_the_loss_falls(pipeline, method):
    # Large enough for the noise of a batch to average out; at the paper's default rate 60 steps change nothing.
    found = discover(pipeline, method=method, images=16, batch_size=16, steps=60, learning_rate=0.05)
    curve = found.recipe["loss"]["curve"]
    assert sum(curve[-5:]) < sum(curve[:5])


def test_v_prediction(pipeline):
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type="v_prediction")
    v = discover(pipeline)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type="epsilon")
    assert v.recipe["prediction_type"] == "v_prediction"
    assert not torch.equal(v.tensor, discover(pipeline).tensor)


def test_other_schedulers(pipeline):
    original = pipeline.scheduler
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(original.config)
    assert discover(pipeline).norm() > 0
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(ModelError, match="alphas_cumprod"):
        discover(pipeline)
    pipeline.scheduler = DDIMScheduler.from_config(original.config, prediction_type="sample")
    with pytest.raises(ModelError, match="predicts 'sample'"):
        discover(pipeline)


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_half_precision_finds_much_the_same(pipeline, dtype, monkeypatch):
    # Some builds of torch draw other numbers in half precision: pictures of another seed, as it were.
    drawn = torch.randn

    def rounded(*size, **options):
        wanted = options.pop("dtype", None)
        return drawn(*size, **options, dtype=torch.float32).to(wanted or torch.float32)

    monkeypatch.setattr(torch, "randn", rounded)
    settings = {"method": "distillation", "learning_rate": 0.02, "steps": 20}
    full = discover(pipeline, **settings)
    half = discover(pipeline.to(dtype), **settings)
    assert half.tensor.dtype == torch.float32
    # The images differ a little too, so bit-for-bit is not to be had.
    assert full.cosine(half.with_(model=full.model)) > 0.9


def test_sums_have_one_order_while_it_runs_and_as_before_afterwards(pipeline, monkeypatch):
    for before in (False, True):
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", before)
        with frozen(SteerableModel.of(pipeline)):
            assert torch.backends.cudnn.deterministic
        assert torch.backends.cudnn.deterministic == before


def test_the_graph_starts_at_the_site(pipeline):
    model = SteerableModel.of(pipeline)
    denoiser = FrozenDenoiser(model, model.find_site())
    seen = []
    addition = torch.zeros(2, 32, 4, 4, requires_grad=True)
    with frozen(model), hooks.before_call(pipeline.unet.mid_block, lambda args, _: seen.append(args[0])):
        answer = denoiser.steered(torch.randn(2, 4, 8, 8), torch.tensor([1, 900]), torch.randn(2, 32, 32), addition)
    assert [h.requires_grad for h in seen] == [False] and answer.requires_grad
    answer.sum().backward()
    assert addition.grad is not None and addition.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in pipeline.unet.parameters())


def test_neutral_images_and_amplification(pipeline):
    plain = discover(pipeline, method="distillation")
    half = discover(pipeline, method="distillation", neutral_fraction=0.5)
    twice = discover(pipeline, method="distillation", amplification=2.0)
    assert half.recipe["neutral_fraction"] == 0.5
    assert len({found.tensor.numpy().tobytes() for found in (plain, half, twice)}) == 3


@pytest.mark.parametrize(
    ("concepts", "settings", "error", "message"),
    [
        ("woman", {}, ConceptError, "is not a concept"),
        ([], {}, ConceptError, "no concepts"),
        ([WOMAN, WOMAN], {}, ConceptError, "same name"),
        (WOMAN, {"method": "reconstrution"}, DirectrixError, "did you mean 'reconstruction'"),
        (WOMAN, {"averge": True}, DirectrixError, "did you mean 'average'"),
        (WOMAN, {"method": "distillation", "neutral_fraction": 2.0}, DirectrixError, "a number from 0 to 1"),
        (WOMAN, {"steps": 0}, DirectrixError, "steps is 0"),
        (WOMAN, {"images": 1.5}, DirectrixError, "images is 1.5"),
        (WOMAN, {"num_inference_steps": 0}, DirectrixError, "num_inference_steps is 0"),
        (WOMAN, {"learning_rate": -1.0}, DirectrixError, "learning_rate is -1.0"),
        (WOMAN, {"site": "mid_blok"}, SiteError, "mid_blok"),
    ],
)
def test_unusable_settings(pipeline, concepts, settings, error, message):
    with pytest.raises(error, match=message):
        discover(pipeline, concepts, **settings)


def test_settings_that_cannot_work_do_not_stand_in_the_way(pipeline, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoint"
    with pytest.raises(DirectrixError, match="multiple of"):
        discover(pipeline, checkpoint=folder, call={"height": 7})
    assert not folder.exists()
    with monkeypatch.context() as patch:
        patch.setattr(optimize, "mse_loss", lambda *_: torch.tensor(float("nan")))
        with pytest.raises(DirectrixError, match="The loss is nan"):
            discover(pipeline, checkpoint=folder, learning_rate=1e6)
    assert not folder.exists()
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    discover(pipeline, checkpoint=folder)
    Checkpoint(folder).remove()
    assert {path.name for path in folder.iterdir()} == {".lock", "notes.txt"}


def test_two_discoveries_in_one_folder(pipeline, tmp_path):
    with locked(tmp_path), ThreadPoolExecutor(1) as other, pytest.raises(OutputError, match="is being written by"):
        other.submit(discover, pipeline, checkpoint=tmp_path).result()
