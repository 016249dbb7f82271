from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from directrix.directions.direction import Direction
from directrix.errors import ConceptError, DirectrixError, OutputError, StrengthError
from directrix.generation.generate import generate, image_generator, image_seed, iterate
from directrix.interventions.steering import Steering

QUICK = {"num_inference_steps": 2, "guidance_scale": 5.0}
PROMPTS = ["a judge", "a cook"]


@pytest.fixture
def counted(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The prompts of each call of the pipeline."""
    calls: list[list[str]] = []
    original = type(pipeline).__call__

    def call(self: Any, prompt: Any, **options: Any) -> Any:
        calls.append(list(prompt))
        return original(self, prompt, **options)

    # The defaults of the pipeline are read from its signature.
    call.__signature__ = inspect.signature(original)  # pyright: ignore
    monkeypatch.setattr(type(pipeline), "__call__", call)
    yield calls


def pixels(record: Any) -> np.ndarray:
    return np.asarray(record.image).astype(int)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_seeds_differ_by_place_and_are_fixed():
    seeds = {image_seed(s, p, i) for s in range(3) for p in range(12) for i in range(12)}
    assert len(seeds) == 3 * 12 * 12
    assert image_seed(0, 0, 0) == 3051931488724851722
    assert image_generator(1, 2, 3).initial_seed() == image_seed(1, 2, 3)


def test_records_without_a_folder(pipeline: Any):
    records = generate(pipeline, PROMPTS, 2, **QUICK)
    assert [(each.prompt, each.image_index) for each in records] == [(p, i) for p in PROMPTS for i in range(2)]
    assert all(each.path is None and each.image.size == (16, 16) and each.drawn for each in records)
    assert len({pixels(each).tobytes() for each in records}) == 4


def test_records_show_themselves(pipeline: Any, tmp_path: Path):
    records = generate(pipeline, 'a "<judge>"', 2, output=tmp_path, **QUICK)
    assert repr(records[1]) == f"Record('a \"<judge>\"', image 1, {tmp_path / '0000-001.png'})"
    shown = records._repr_html_()
    assert shown.count("data:image/png;base64,") == 2 and shown.count('alt="a &quot;&lt;judge&gt;&quot;"') == 2
    assert "in memory" in repr(generate(pipeline, "a judge", **QUICK)[0])


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_pictures_do_not_depend_on_the_batch(pipeline: Any, make_direction: Callable[..., Direction], batch_size: int):
    steering = Steering({make_direction(): [0.0, 1.0, 2.0, 0.0]})
    settings = QUICK | {"interventions": [steering]}
    whole = generate(pipeline, PROMPTS, 2, batch_size=4, **settings)
    parts = generate(pipeline, PROMPTS, 2, batch_size=batch_size, **settings)
    for a, b in zip(whole, parts, strict=True):
        assert np.abs(pixels(a) - pixels(b)).max() <= 1


def test_strengths_per_image(pipeline: Any, make_direction: Callable[..., Direction]):
    plain = generate(pipeline, PROMPTS, 2, **QUICK)
    half = Steering({make_direction(scale=20.0): [0.0, 1.0, 1.0, 0.0]})
    steered = generate(pipeline, PROMPTS, 2, interventions=half, batch_size=3, **QUICK)
    changed = [np.abs(pixels(a) - pixels(b)).max() > 1 for a, b in zip(plain, steered, strict=True)]
    assert changed == [False, True, True, False]
    strengths = [each.interventions[0]["directions"][0]["strength"] for each in steered]
    assert strengths == [0.0, 1.0, 1.0, 0.0]
    with pytest.raises(StrengthError, match="4 strengths of 'woman' for 2 images"):
        generate(pipeline, PROMPTS, 1, interventions=[half], **QUICK)


def test_files_and_manifest(pipeline: Any, make_direction: Callable[..., Direction], tmp_path: Path):
    folder = tmp_path / "new" / "out"
    records = generate(
        pipeline, PROMPTS, 2, seed=7, output=folder, interventions=[Steering({make_direction(): 1.0})], **QUICK
    )
    names = ["0000-000.png", "0000-001.png", "0001-000.png", "0001-001.png"]
    assert sorted(each.name for each in folder.iterdir() if each.name[0] != ".") == [*names, "manifest.jsonl"]
    table = rows(folder)
    assert [row["file"] for row in table] == names
    assert table == [dict(each.row) for each in records]
    first = table[0]
    assert first["prompt"] == "a judge"
    assert (first["seed"], first["image_seed"]) == (7, image_seed(7, 0, 0))
    assert (first["num_inference_steps"], first["guidance_scale"]) == (2, 5.0)
    assert first["interventions"][0]["directions"][0]["name"] == "woman"
    assert set(first["versions"]) == {"directrix", "diffusers", "torch"}
    assert len(first["model"]["fingerprint"]) == 64
    assert first["flagged"] is False
    with Image.open(folder / names[3]) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels(records[3]))


def test_done_pictures_are_not_drawn_again(pipeline: Any, tmp_path: Path, counted: list[list[str]]):
    # One at a time: batches of other sizes may round the last bit otherwise.
    first = generate(pipeline, PROMPTS, 2, output=tmp_path, batch_size=1, **QUICK)
    (tmp_path / "0001-000.png").unlink()
    counted.clear()
    again = generate(pipeline, PROMPTS, 2, output=tmp_path, batch_size=1, **QUICK)
    assert counted == [["a cook"]]
    assert [each.drawn for each in again] == [False, False, True, False]
    assert [each.row for each in first] == [each.row for each in again]
    assert all(np.array_equal(pixels(a), pixels(b)) for a, b in zip(first, again, strict=True))
    assert len(rows(tmp_path)) == 4
    counted.clear()
    more = generate(pipeline, PROMPTS, 3, output=tmp_path, **QUICK)
    # Whole batches, of which what is there stays.
    assert counted == [["a judge"] * 3 + ["a cook"] * 3]
    assert [each.drawn for each in more] == [False, False, True] * 2


def test_a_run_that_goes_on_draws_whole_batches(pipeline: Any, tmp_path: Path, counted: list[list[str]]):
    """The last bits of an image may depend on what it is drawn with; a resumed run has those of an undisturbed one."""
    settings = QUICK | {"batch_size": 3}
    whole = generate(pipeline, PROMPTS, 2, output=tmp_path / "whole", **settings)
    generate(pipeline, PROMPTS, 2, output=tmp_path / "resumed", **settings)
    (tmp_path / "resumed" / "0000-001.png").unlink()
    counted.clear()
    resumed = generate(pipeline, PROMPTS, 2, output=tmp_path / "resumed", **settings)
    assert counted == [["a judge", "a judge", "a cook"]]
    assert [each.row["sha256"] for each in resumed] == [each.row["sha256"] for each in whole]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"num_inference_steps": 3}, {"guidance_scale": 4.0}, {"negative_prompt": "a knife"}, {"height": 24}],
)
def test_another_run_is_refused_unless_it_may_overwrite(
    pipeline: Any, tmp_path: Path, counted: list[list[str]], change: dict[str, Any]
):
    generate(pipeline, PROMPTS, output=tmp_path, **QUICK)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    counted.clear()
    with pytest.raises(OutputError, match="holds images of another run"):
        generate(pipeline, PROMPTS, output=tmp_path, **(QUICK | change))
    assert counted == [] and {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    records = generate(pipeline, PROMPTS, output=tmp_path, overwrite=True, **(QUICK | change))
    assert counted == [PROMPTS]
    assert rows(tmp_path) == [dict(each.row) for each in records]


def test_what_differs_is_named(pipeline: Any, tmp_path: Path):
    generate(pipeline, "a firefighter", 3, output=tmp_path, **QUICK)
    with pytest.raises(OutputError, match=r'the prompt of 0000-000\.png was "a firefighter" and is "a judge"'):
        generate(pipeline, "a judge", output=tmp_path, **QUICK)
    more = generate(pipeline, ["a firefighter", "a judge"], 3, output=tmp_path, **QUICK)
    assert [each.drawn for each in more] == [False] * 3 + [True] * 3


def test_files_that_no_run_wrote_stay(pipeline: Any, tmp_path: Path):
    (tmp_path / "0000-001.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"has a file 0000-001\.png that no run wrote"):
        generate(pipeline, "a judge", 2, output=tmp_path, **QUICK)
    assert (tmp_path / "0000-001.png").read_bytes() == b"mine"


def test_one_side_of_the_size_is_enough(pipeline: Any):
    assert generate(pipeline, "a judge", height=24, **QUICK)[0].image.size == (16, 24)
    assert generate(pipeline, "a judge", width=24, **QUICK)[0].image.size == (24, 16)


def test_changed_strength_of_one_image_draws_only_that(
    pipeline: Any, make_direction: Callable[..., Direction], tmp_path: Path, counted: list[list[str]]
):
    direction = make_direction()
    for strengths in ([1.0, 0.0], [1.0, 0.5]):
        counted.clear()
        steering = Steering({direction: strengths})
        generate(pipeline, PROMPTS, output=tmp_path, overwrite=True, batch_size=1, interventions=[steering], **QUICK)
    assert counted == [["a cook"]]
    counted.clear()
    other = Steering({make_direction(seed=5): [1.0, 0.5]})
    generate(pipeline, PROMPTS, output=tmp_path, overwrite=True, interventions=[other], **QUICK)
    assert counted == [PROMPTS]


def test_changed_prompt_and_model(pipeline: Any, other_pipeline: Any, tmp_path: Path):
    generate(pipeline, PROMPTS, output=tmp_path, **QUICK)
    settings = QUICK | {"output": tmp_path, "overwrite": True}
    assert [each.drawn for each in generate(pipeline, ["a judge", "a dog"], **settings)] == [False, True]
    assert all(each.drawn for each in generate(other_pipeline, ["a judge", "a dog"], **settings))


def test_damaged_pictures_are_drawn_again_and_batch_size_does_not_matter(pipeline: Any, tmp_path: Path):
    generate(pipeline, PROMPTS, output=tmp_path, **QUICK)
    (tmp_path / "0000-000.png").write_bytes(b"cut off")
    records = generate(pipeline, PROMPTS, output=tmp_path, batch_size=1, **QUICK)
    assert [each.drawn for each in records] == [True, False]
    assert records[0].image.size == (16, 16)


def test_rows_of_other_pictures_in_the_folder_stay(pipeline: Any, tmp_path: Path):
    generate(pipeline, PROMPTS, 2, output=tmp_path, **QUICK)
    records = generate(pipeline, PROMPTS, 1, output=tmp_path, **QUICK)
    assert len(records) == 2
    assert len(rows(tmp_path)) == 4


def test_an_interrupted_run_goes_on(pipeline: Any, tmp_path: Path, counted: list[list[str]]):
    class Stop:
        name = "stop"

        def __init__(self, after: int) -> None:
            self.left = after
            self.config: dict[str, Any] = {}

        @contextmanager
        def applied(self, pipeline: Any) -> Iterator[None]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield

    settings = QUICK | {"batch_size": 1, "output": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        generate(pipeline, PROMPTS, 2, interventions=[Stop(after=3)], **settings)
    assert len(rows(tmp_path)) == 3
    with (tmp_path / "manifest.jsonl").open("a") as file:
        file.write('{"file": "0001-001.png", "pro')
    counted.clear()
    records = generate(pipeline, PROMPTS, 2, interventions=[Stop(after=9)], **settings)
    assert [each.drawn for each in records] == [False, False, False, True]
    assert len(rows(tmp_path)) == 4


def test_iterate_yields_as_it_draws_and_may_be_left(pipeline: Any, tmp_path: Path, counted: list[list[str]]):
    stream = iterate(pipeline, PROMPTS, 2, batch_size=2, output=tmp_path, **QUICK)
    assert next(stream).drawn
    assert len(counted) == 1
    stream.close()
    assert len(rows(tmp_path)) == 2


def test_a_folder_that_cannot_be_written_stops_before_drawing(pipeline: Any, tmp_path: Path, counted: list[list[str]]):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        generate(pipeline, PROMPTS, output=tmp_path / "file" / "out", **QUICK)
    assert counted == []


@pytest.mark.parametrize("prompts", [[], "", " ", ["a judge", ""], [None]])
def test_empty_prompts(pipeline: Any, prompts: Any):
    with pytest.raises(ConceptError):
        generate(pipeline, prompts, **QUICK)


@pytest.mark.parametrize(
    "change",
    [
        *({"images_per_prompt": 0}, {"batch_size": 0}, {"seed": -1}, {"seed": 1.5}, {"seed": True}),
        *({"num_inference_steps": 0}, {"guidance_scale": float("nan")}),
    ],
)
def test_numbers_that_make_no_sense(pipeline: Any, change: dict[str, Any]):
    with pytest.raises(DirectrixError, match=next(iter(change))):
        generate(pipeline, "a judge", **(QUICK | change))


def test_the_model_s_own_settings_are_the_default(pipeline: Any, monkeypatch: pytest.MonkeyPatch):
    from directrix.models import model_facts

    monkeypatch.setattr(
        model_facts, "cards", lambda: {"UNet2DConditionModel": {"guidance_scale": 3, "num_inference_steps": 2}}
    )
    row = generate(pipeline, "a judge")[0].row
    assert (row["guidance_scale"], row["num_inference_steps"]) == (3.0, 2)


def test_two_threads_of_one_folder_lose_nothing(pipeline: Any, tmp_path: Path):
    said: list[OutputError] = []
    drawing = iterate(pipeline, PROMPTS, 2, output=tmp_path, batch_size=1, **QUICK)
    next(drawing)

    def other() -> None:
        with pytest.raises(OutputError, match="is being written by process") as raised:
            generate(pipeline, PROMPTS, 2, output=tmp_path, **QUICK)
        said.append(raised.value)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert said and len(list(drawing)) == 3
    assert [row["file"] for row in rows(tmp_path)] == sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(rows(tmp_path)) == 4


def test_a_long_plan_is_shown(pipeline: Any, monkeypatch: pytest.MonkeyPatch):
    shown: list[tuple[int, str]] = []

    @contextmanager
    def progress(total: int, label: str) -> Iterator[Any]:
        shown.append((total, label))
        yield SimpleNamespace(advance=lambda n=1: None)

    for most in (3, 4):
        monkeypatch.setattr("directrix.generation.generate._LONG", most)
        next(iterate(pipeline, PROMPTS, 2, progress=progress, batch_size=1, **QUICK))
    assert shown == [(4, "Planning"), (4, "Drawing images"), (4, "Drawing images")]


def test_progress_counts_the_pictures_to_draw(pipeline: Any, tmp_path: Path):
    rewritten: list[Any] = []

    @contextmanager
    def progress(total: int, label: str) -> Iterator[Any]:
        rewritten.append(total)
        yield SimpleNamespace(advance=rewritten.append)

    for count in (1, 3):
        generate(pipeline, "a judge", count, output=tmp_path, batch_size=1, progress=progress, **QUICK)
    assert rewritten == [1, 1, 2, 1, 1]
