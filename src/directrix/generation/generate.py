"""Drawing pictures: prompts x images per prompt x interventions -> PNG files and a manifest.

Every picture has a random generator of its own, made from the run's seed and its place, so it does not depend
on the batch it is drawn in. With an output folder a run can be stopped and called again: it draws only what
is missing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix import models
from directrix.errors import ConceptError, DirectrixError
from directrix.generation import manifest
from directrix.generation.contact_sheet import contact_sheet
from directrix.generation.manifest import Record
from directrix.generation.seeds_and_rows import common, image_generator, image_seed, same
from directrix.generation.seeds_and_rows import rows as rows_of
from directrix.interventions.protocol import Intervention, planned, select
from directrix.models import families
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Record", "contact_sheet", "generate", "image_generator", "image_seed", "iterate"]


def generate(
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
    progress: Progress | None = None,
) -> list[Record]:
    """Draws pictures and returns a record for each, all images of the first prompt first.

    Arguments and errors are those of `iterate`, which yields the same records one by one.
    """
    records = iterate(
        pipeline,
        prompts,
        images_per_prompt,
        seed=seed,
        interventions=interventions,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        negative_prompt=negative_prompt,
        height=height,
        width=width,
        batch_size=batch_size,
        output=output,
        progress=progress,
    )
    return list(records)


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
    progress: Progress | None = None,
) -> Iterator[Record]:
    """Draws pictures, and yields a record for each as soon as it is there.

    Args:
        pipeline: a diffusers text-to-image pipeline.
        prompts: one prompt or several.
        images_per_prompt: pictures of each prompt.
        seed: of the run; each picture's own seed follows from it.
        interventions: applied to all pictures, in order. Strengths per image (`Steering`) count all pictures
            of the run: all images of the first prompt, then all of the second. Planners, which depend on the
            prompts (`directrix.Fair`, a policy), plan once for the whole run.
        num_inference_steps, guidance_scale: None for the model's own (its card, or the pipeline's default).
        negative_prompt: the same for all pictures.
        height, width: in pixels; None for the model's own.
        batch_size: pictures in one call of the pipeline; several prompts may share a batch.
        output: folder for PNG files and manifest.jsonl. A picture whose file is there, with a row of the same
            settings, is not drawn again; one of other settings is drawn anew. Other rows are kept.
        progress: how to show progress; None for silence.

    Raises:
        ConceptError: an empty prompt, or no prompts.
        OutputError: the folder cannot be written; raised before anything is drawn.
        DirectrixError: a number that makes no sense, and whatever the interventions raise.
    """
    prompts = _checked(prompts, images_per_prompt, batch_size, num_inference_steps, seed)
    parts = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
    facts = models.facts(pipeline)
    if guidance_scale is not None and not math.isfinite(guidance_scale):
        raise DirectrixError(f"guidance_scale is {guidance_scale}.", "a finite number.", "the model's own.")
    if negative_prompt is not None and not families.accepted(pipeline, {"negative_prompt": ""}):
        raise DirectrixError(
            f"{type(pipeline).__name__} takes no negative prompt.",
            "a pipeline with guidance in two halves.",
            "leave it out, or steer away from a direction: steer(pipeline, {direction: -1.0}).",
        )
    call = {
        "num_inference_steps": num_inference_steps or facts.num_inference_steps,
        "guidance_scale": facts.guidance_scale if guidance_scale is None else float(guidance_scale),
        **models.image_size(pipeline, height, width),
    }
    folder = None if output is None else Path(output)
    known: dict[str, dict[str, Any]] = {}
    if folder is not None:
        manifest.writable(folder)
        known = {name: row for name, row in manifest.read(folder).items() if (folder / name).is_file()}
    parts, plan = planned(parts, prompts, images_per_prompt, seed)
    shared = common(pipeline, seed, negative_prompt, call)
    rows = rows_of(prompts, images_per_prompt, parts, plan, shared)
    done = [folder is not None and same(folder, known.get(row["file"]), row) for row in rows]
    if negative_prompt is not None:
        call["negative_prompt"] = negative_prompt
    todo = [position for position, is_done in enumerate(done) if not is_done]
    batches = [todo[first : first + batch_size] for first in range(0, len(todo), batch_size)]
    if folder is not None:
        manifest.write(folder, known)  # also mends a last line that was cut off
    position = 0
    try:
        with (progress or silent)(len(todo), "Drawing images") as bar:
            for batch in batches:
                chosen = select(plan.intervention, batch, len(rows))
                drawn = _draw(pipeline, [rows[each] for each in batch], chosen, call)
                retained = {}
                for each, (image, flagged) in zip(batch, drawn, strict=True):
                    retained[each] = _keep(folder, rows[each], image, flagged)
                bar.advance(len(batch))
                while position <= batch[-1]:
                    yield retained.get(position) or _taken_over(folder, known[rows[position]["file"]])
                    position += 1
            for rest in range(position, len(rows)):
                yield _taken_over(folder, known[rows[rest]["file"]])
    finally:
        if folder is not None:
            manifest.write(folder, manifest.read(folder))


def _draw(
    pipeline: Any, rows: Sequence[Mapping[str, Any]], intervention: Intervention, call: Mapping[str, Any]
) -> list[tuple[Image, bool]]:
    # Not every pipeline takes None for its own size.
    arguments = {name: value for name, value in call.items() if value is not None}
    if "negative_prompt" in arguments:
        arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(rows)
    generators = [image_generator(row["seed"], row["prompt_index"], row["image_index"]) for row in rows]
    rewritten = [row.get("rewritten_prompt", row["prompt"]) for row in rows]
    with intervention.applied(pipeline):
        result = pipeline(rewritten, generator=generators, output_type="pil", **arguments)
    flags = getattr(result, "nsfw_content_detected", None) or [False] * len(rows)
    return list(zip(result.images, map(bool, flags), strict=True))


def _keep(folder: Path | None, row: dict[str, Any], image: Image, flagged: bool) -> Record:
    # A safety checker blackens a picture; whoever counts pictures must be able to see that.
    row["flagged"] = flagged
    if folder is None:
        return _record(row, None, image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    row["sha256"] = manifest.sha256(data)
    write_atomically(folder / row["file"], data)
    manifest.append(folder, row)
    return _record(row, folder / row["file"])


def _record(row: Mapping[str, Any], path: Path | None, image: Image | None = None, drawn: bool = True) -> Record:
    return Record(
        prompt=row["prompt"],
        prompt_index=row["prompt_index"],
        image_index=row["image_index"],
        seed=row["seed"],
        path=path,
        interventions=tuple(row["interventions"]),
        row=row,
        drawn=drawn,
        _image=image,
    )


def _taken_over(folder: Path | None, row: Mapping[str, Any]) -> Record:
    return _record(row, None if folder is None else folder / row["file"], drawn=False)


def _checked(
    prompts: str | Sequence[str], images_per_prompt: int, batch_size: int, num_inference_steps: int | None, seed: int
) -> list[str]:
    listed = [prompts] if isinstance(prompts, str) else list(prompts)
    if not listed or not all(isinstance(prompt, str) and prompt.strip() for prompt in listed):
        raise ConceptError(
            "A prompt is empty or not text." if listed else "There are no prompts.",
            "at least one word each.",
            'a prompt such as "a firefighter".',
        )
    for name, value, least in (
        ("images_per_prompt", images_per_prompt, 1),
        ("batch_size", batch_size, 1),
        ("num_inference_steps", 1 if num_inference_steps is None else num_inference_steps, 1),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DirectrixError(f"{name} is {value!r}.", f"a whole number of at least {least}.")
    return listed
