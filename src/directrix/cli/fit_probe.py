"""`directrix fit-probe`: fit what tells, of an image that is being drawn, which category it is going to show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel


@verb(
    "fit-probe",
    "Nothing was written.",
    'example: directrix fit-probe --attribute "skin tone" --directions directions/ --prompt "a nurse" '
    '--prompt "a judge" -o skin-tone.probe',
)
def fit_probe(
    output: options.Output,
    attribute: str,
    directions: Path,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    images_per_prompt: options.ImagesPerPrompt = 12,
    rounds: options.Count = 2,
    num_inference_steps: options.Steps = None,
    height: options.Side = None,
    width: options.Side = None,
    seed: options.Seed = 5000,
    judge: options.Judge = None,
    model: options.Model = options.EMOJI,
) -> Result:
    """Fit a linear probe for feedback steering: which category an image is going to show.

    Images of prompts are drawn as each category of an attribute and judged, and the probe is fitted to the activations
    of the unconditional branch of guidance. A policy that names the file under `feedback` corrects images that leave
    their category. Name the prompts that you are going to draw: a probe is good for subjects that it has seen.

    Args:
        output: The probe, such as skin-tone.probe.
        attribute (NAME): 'gender' or 'skin tone'.
        directions (DIR): Where the attribute's directions are.
        prompt (PROMPT): To draw; may be given several times. Default: those that directions are calibrated on.
        prompts: A text file of more of them, one a line.
        images_per_prompt: Of each category, in each round.
        rounds: All but the first draw with the probe of those before.
    """
    texts = _prompts(prompt or [], prompts)
    options.writable_file(output)

    from directrix.concept import attribute_set

    wanted = attribute_set(attribute)
    found = _directions(directions, [each.name for each in wanted.concepts])

    from directrix.measurement.calibration.fit_probe import fit_probe
    from directrix.measurement.calibration.target import judge_of_values

    pipeline = model.load()
    seeing, target_labels = judge_of_values(pipeline, wanted, judge)
    if target_labels is not None:
        found = dict(zip(found, target_labels, strict=True))
    probe = fit_probe(
        pipeline,
        wanted.name,
        found,
        seeing,
        texts or None,
        images_per_prompt=images_per_prompt,
        rounds=rounds,
        num_inference_steps=num_inference_steps,
        height=height,
        width=width,
        seed=seed,
        progress=terminal.progress(),
    )
    probe.save(output)
    data: dict[str, Any] = {
        "file": str(output),
        "attribute": probe.attribute,
        "categories": list(probe.categories),
        "timesteps": [float(each) for each in probe.timesteps],
        "pictures": probe.provenance["pictures"],
        "digest": probe.digest(),
    }
    text = f"A probe of {probe.attribute} ({', '.join(probe.categories)}), from {data['pictures']} images."
    return Result(f"{text} Wrote {output}.", data)


def _prompts(prompts: list[str], file: Path | None) -> list[str]:
    from directrix.errors import ConceptError

    if file is not None:
        try:
            prompts = [*prompts, *file.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConceptError(f"'{file}' cannot be read: {error}.", "a text file of prompts, one a line.") from error
    return [each.strip() for each in prompts if each.strip()]


def _directions(folder: Path, names: list[str]) -> dict[Direction, TargetLabel]:
    """The attribute's directions, each with what it was calibrated on."""
    from directrix.cli.discover import calibration
    from directrix.directions.collection import Catalogue

    catalogue = Catalogue(folder)
    directions = {name: catalogue.direction(name) for name in names}
    return {each.with_(name=name): calibration.find_target_label(each, folder) for name, each in directions.items()}
