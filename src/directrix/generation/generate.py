"""Drawing images: prompts x images per prompt x interventions -> PNG files and a manifest.

Every image has a random generator of its own, made from the run's seed and its place, so it does not depend
on the batch it is drawn in. With an output folder a run can be stopped and called again: it draws only what
is missing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from directrix import checks
from directrix.errors import ConceptError, DirectrixError, OutputError
from directrix.generation import manifest
from directrix.generation.contact_sheet import contact_sheet
from directrix.generation.record import Record, Records
from directrix.generation.rows import Rows, asks_for, image_generator, image_seed, refuse_another_run, whole
from directrix.interventions.protocol import (
    Intervention,
    forming,
    found,
    in_order,
    look,
    next_turn,
    planned,
    restore,
    select,
)
from directrix.models import SteerableModel
from directrix.models.files import write_atomically
from directrix.models.locks import locked
from directrix.models.processes import first, joined, together
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 1_000_000  # images of one run
_LONG = 10_000  # images whose planning takes long enough to say so
__all__ = ["Record", "contact_sheet", "generate", "image_generator", "image_seed", "iterate"]


class Sampling(TypedDict, total=False):
    """How images are drawn; see `generate`."""

    seed: int
    interventions: Sequence[Intervention] | Intervention
    num_inference_steps: int | None
    guidance_scale: float | None
    negative_prompt: str | None
    height: int | None
    width: int | None
    batch_size: int
    output: str | Path | None
    overwrite: bool
    empty_prompts: bool
    progress: Progress | None


def generate(
    pipeline: Any, prompts: str | Sequence[str], images_per_prompt: int = 1, **sampling: Unpack[Sampling]
) -> Records:
    """Draws images and returns a record for each, all images of the first prompt first.

    Args:
        pipeline: a diffusers text-to-image pipeline.
        prompts: one prompt or several.
        images_per_prompt: images of each prompt.
        seed: of the run, 0 unless given; each image's own seed follows from it.
        interventions: applied to all images, in order. Strengths per image (`Steering`) count all images
            of the run: all images of the first prompt, then all of the second. Planners, which depend on the
            prompts (`directrix.Fair`, a policy), plan once for the whole run.
        num_inference_steps, guidance_scale: None for the model's own (its card, or the pipeline's default).
        negative_prompt: the same for all images.
        height, width: in pixels; None for the model's own.
        batch_size: images in one call of the pipeline, 8 unless given; several prompts may share a batch.
        output: folder for PNG files and manifest.jsonl, of this run alone. An image whose file is there, with a row of
            the same settings, stays as it is. Where a run goes on, the batch that it stopped in is drawn whole, so that
            its images are those of a run that never stopped. Rows of further images stay. The folder is locked
            meanwhile: nobody else writes to it. Processes of a launch that have joined
            (`directrix.models.processes.join`) share the work and have all records.
        overwrite: draw images anew that the folder has of other settings, which are an error otherwise.
        empty_prompts: draw an empty prompt as such, as a published list of prompts may hold one.
        progress: how to show progress; None for silence.

    Raises:
        ConceptError: an empty prompt that is not allowed, or no prompts.
        OutputError: the folder cannot be written, somebody else writes to it, or it holds images of another run;
            raised before anything is drawn.
        DirectrixError: a number that makes no sense, and whatever the interventions raise.
    """
    return Records(iterate(pipeline, prompts, images_per_prompt, **sampling))


def iterate(
    pipeline: Any,
    prompts: str | Sequence[str],
    images_per_prompt: int = 1,
    *,
    seed: int = 0,
    interventions: Sequence[Intervention] | Intervention = (),
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    output: str | Path | None = None,
    overwrite: bool = False,
    empty_prompts: bool = False,
    progress: Progress | None = None,
) -> Iterator[Record]:
    """As `generate`, but yields each record as soon as its image is there."""
    model = SteerableModel.of(pipeline)
    listed = _prompts(prompts, empty_prompts)
    checks.whole_number("images_per_prompt", images_per_prompt)
    images = len(listed) * images_per_prompt
    if images > MOST:
        happened = f"{images:,} images were asked for in one run."
        raise DirectrixError(happened, f"at most {MOST:,}.", "several runs, each with a seed and a folder of its own.")
    checks.whole_number("batch_size", batch_size)
    checks.whole_number("seed", seed, 0)
    if num_inference_steps is not None:
        checks.whole_number("num_inference_steps", num_inference_steps)
    if guidance_scale is not None:
        checks.number("guidance_scale", guidance_scale)
    if negative_prompt is not None and not model.accepted({"negative_prompt": ""}):
        raise DirectrixError(
            f"{model.name} takes no negative prompt.",
            "a pipeline with two branches of guidance.",
            "leave it out, or steer away from a direction: steer(pipeline, {direction: -1.0}).",
        )
    facts = model.facts
    call = {
        "negative_prompt": negative_prompt,
        "num_inference_steps": num_inference_steps or facts.num_inference_steps,
        "guidance_scale": facts.guidance_scale if guidance_scale is None else float(guidance_scale),
        **model.image_size(height, width),
        **facts.arguments,
    }
    given = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
    with (progress if progress and images > _LONG else silent)(images, "Planning") as bar:
        parts, plan = planned(given, listed, images_per_prompt, seed)
        bar.advance(images)
    rows = Rows(model, listed, images_per_prompt, parts, plan, {"seed": seed, **call})
    batches = [range(place, min(place + batch_size, len(rows))) for place in range(0, len(rows), batch_size)]
    if output is None:
        with (progress or silent)(len(rows), "Drawing images") as bar:
            for batch in batches:
                chosen = [rows[each] for each in batch]
                drawn = _draw(model, chosen, plan.intervention, batch, len(rows), call)
                for row, (image, flagged) in zip(chosen, drawn, strict=True):
                    bar.advance(1)
                    yield Record({**row, "flagged": flagged}, None, image)
        return
    folder = Path(output)
    manifest.writable(folder)
    with locked(folder):
        done, last = first(lambda: _taken_over(folder, rows, overwrite))
        (count, own, _), ordered = joined(), True
        try:
            with (progress or silent)(len(rows) - len(done), "Drawing images") as bar:
                # The processes of a launch draw a batch each at the same time. Batches are whole, also where a run goes
                # on: an image's last bits may depend on what it is drawn with.
                size = 1 if in_order(plan.intervention) else count
                for turn in (batches[place : place + size] for place in range(0, len(batches), size)):
                    missing = [place for batch in turn for place in batch if place not in done]
                    saved: dict[int, dict[str, Any]] = {}
                    if own < len(turn) and not all(place in done for place in turn[own]):
                        chosen = [done.get(place) or rows[place] for place in turn[own]]
                        images = _draw(model, chosen, plan.intervention, turn[own], len(rows), call)
                        for place, row, image in zip(turn[own], chosen, images, strict=True):
                            if place not in done:
                                saved[place] = _saved(folder, row, *image)
                    for part in together(saved) if missing else ():
                        saved |= part
                    for place in missing:
                        name = saved[place]["file"]
                        last, ordered = name, ordered and name > last
                        if own == 0:
                            manifest.append(folder, saved[place])
                        bar.advance(1)
                    drawn = {place: done.get(place) or saved[place] for batch in turn for place in batch}
                    for batch in turn:
                        if turn.index(batch) != own or all(place in done for place in batch):
                            acting = select(plan.intervention, batch, len(rows))
                            restore(acting, [drawn[place].get("closed_loop", {}) for place in batch])
                    for place, row in drawn.items():
                        yield Record(row, folder, drawn=place not in done)
        except OutputError:
            ordered = False  # a line may have been cut off
            raise
        finally:
            if own == 0 and not ordered:
                manifest.write(folder, manifest.read(folder))


def _taken_over(folder: Path, rows: Rows, overwrite: bool) -> tuple[dict[int, dict[str, Any]], str]:
    """The rows of the run whose images are there, by their places, and the last file that the folder's manifest names.

    Mends a manifest whose last line was cut off.

    OutputError where the folder is of another run.
    """
    known = {name: row for name, row in manifest.read(folder).items() if (folder / name).is_file()}
    if not overwrite:
        refuse_another_run(folder, known, rows)
    manifest.write(folder, known)
    names = ((place, known.get(rows.name(place))) for place in range(len(rows)) if known)
    there = ((place, row) for place, row in names if row is not None and asks_for(rows[place], row))
    return {place: row for place, row in there if whole(folder, row)}, max(known, default="")


def _draw(
    model: SteerableModel,
    rows: Sequence[dict[str, Any]],
    intervention: Intervention,
    batch: Sequence[int],
    total: int,
    call: Mapping[str, Any],
) -> list[tuple[Image, bool]]:
    """The images of these rows, and whether the pipeline's safety checker flagged them; what a closed loop found of
    them is added to the rows.

    intervention: of all images. batch: the places of these.
    """
    # Not every pipeline takes None for its own size.
    arguments = {name: value for name, value in call.items() if value is not None}
    drawn: dict[int, tuple[Image, bool]] = {}
    # Once all; what was in some of them half-way goes more surely from an earlier step on, so these again.
    now: Intervention | None = intervention
    places = list(range(len(rows)))
    while now is not None and places:
        acting = select(now, [batch[place] for place in places], total)
        some = [rows[place] for place in places]
        if "negative_prompt" in call and call["negative_prompt"] is not None:
            arguments["negative_prompt"] = [call["negative_prompt"]] * len(some)
        generators = [image_generator(row["seed"], row["prompt_index"], row["image_index"]) for row in some]
        prompts = [row.get("rewritten_prompt", row["prompt"]) for row in some]
        with acting.applied(model.pipeline):
            result = model.pipeline(prompt=prompts, generator=generators, output_type="pil", **arguments)
        flags = list(map(bool, getattr(result, "nsfw_content_detected", None) or [False] * len(some)))
        # What a safety checker blackened says nothing of what was drawn.
        visible = [None if flag else image for image, flag in zip(result.images, flags, strict=True)]
        stand = look(acting, visible) or [True] * len(some)
        for row, seen in zip(some, found(acting), strict=False):
            row.update({"closed_loop": {**row.get("closed_loop", {}), **seen}} if seen else {})
        for place, stands, image, flag in zip(places, stand, result.images, flags, strict=True):
            if stands or place not in drawn:
                drawn[place] = (image, flag)
        now = next_turn(now)
        places = [place for place, needed in zip(places, forming(acting), strict=False) if needed]
    return [drawn[place] for place in range(len(rows))]


def _saved(folder: Path, row: dict[str, Any], image: Image, flagged: bool) -> dict[str, Any]:
    """Writes an image; returns its row as the manifest has it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    # A safety checker blackens an image; whoever counts images must be able to see that.
    row = {**row, "flagged": flagged, "sha256": manifest.sha256(buffer.getvalue())}
    write_atomically(folder / row["file"], buffer.getvalue())
    return row


def _prompts(prompts: str | Sequence[str], empty: bool) -> list[str]:
    listed = [prompts] if isinstance(prompts, str) else list(prompts)
    if not listed or not all(isinstance(prompt, str) and (empty or prompt.strip()) for prompt in listed):
        raise ConceptError(
            "A prompt is empty or not text." if listed else "There are no prompts.",
            "at least one word each.",
            'a prompt such as "a firefighter".',
        )
    return listed
