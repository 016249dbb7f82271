"""What may stand in the figures of a direction's card and of its calibration, which its file carries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from directrix.reading.figures import Count, Identity, Number

Spent = Number | dict[str, Number] | None
# Beyond what any calibration goes to; a chart's axis has its bounds too.
Strength = Annotated[Number, Field(ge=-1e6, le=1e6)]
Steps = Annotated[int, Field(strict=True, ge=1, le=1000)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Difference = Annotated[Number, Field(ge=-1, le=1)]
# One line of a shell.
Command = Annotated[str, Field(pattern=r"^[^\n\r`]*$")]


class _Part(BaseModel, strict=True, extra="allow"):
    pass


class Label(_Part, extra="ignore"):
    """What the judge sees if the concept is there, as `TargetLabel` takes it."""

    attribute: str
    label: str
    present: bool = True


class Sensible(_Part):
    """The range of strengths."""

    default: Strength
    minimum: Strength
    maximum: Strength


class Change(_Part):
    """A difference of two shares, with its interval."""

    value: Difference
    low: Difference
    high: Difference


class Shown(_Part):
    """A share of images, with its interval."""

    value: Share
    low: Share
    high: Share


class Dose(_Part):
    """What a judge saw at one strength."""

    strength: Strength
    effect: Shown
    subject_retained: Shown | None = None
    shares: dict[str, dict[str, Share]] = {}


class Step(Dose):
    """What was measured at one strength."""

    distance: Number


class Cost(_Part):
    """What the discovery took."""

    seconds: Spent = None
    denoiser_evaluations: Spent = None
    memory_mb: Number | None = None


class Pair(_Part):
    """A prompt pair of the concept."""

    target: str
    neutral: str
    negative: str | None = None


class Concept(_Part):
    """The concept of the recipe."""

    pairs: list[Pair] = []


class Recipe(_Part):
    """How the direction was found."""

    concept: Concept | None = None
    learned_together: list[str] | None = None


class Card(_Part):
    """The figures of `directrix.measurement.reports.direction_card.measure`."""

    name: str
    model: Identity
    site: str
    shape: list[int]
    map: bool = False
    sensible: Sensible
    judge: str
    target_label: Label
    prompts: Annotated[list[str], Field(min_length=1)]
    images_per_prompt: Count
    num_inference_steps: Steps
    seed: Seed
    strengths: list[Step]
    monotone: bool
    leakage: dict[str, dict[str, Change]]
    cost: Cost
    recipe: Recipe
    command: Command | None = None

    @model_validator(mode="before")
    @classmethod
    def _both_ends(cls, content: Any) -> Any:
        rows = content.get("strengths") if isinstance(content, dict) else None
        strengths = [row.get("strength") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        if 0 not in strengths or 1 not in strengths:
            raise ValueError("strengths 0 and 1 were not both measured")
        return content

    @model_validator(mode="after")
    def _shares_of_what_leaks(self) -> Card:
        at = {row.strength: row for row in self.strengths}
        if any(name not in at[end].shares for name, labels in self.leakage.items() if labels for end in (0, 1)):
            raise ValueError("it has no shares of an attribute that leaks")
        return self


class Calibration(_Part):
    """What `directrix.calibrate` leaves in a direction's provenance, as far as pages show it."""

    target_label: Label | None = None
    strengths: list[Dose] = []
