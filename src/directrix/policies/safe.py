"""Safe generation: anti-concept directions keep concepts out of every image, or of those that ask for it.

Several of them at once can be combined in different ways, because adding many up pushes harder than any of
them was calibrated for:

    sum      h + c_1 + ... + c_n
    nearest  h + the one that the image is nearest to at this step (see `NearestConcept`)
    erase    h - what the prompt says of each, as far as no retained concept explains it (see `ConceptErasure`)

where c_j is what category j adds at its strength.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import Any, Unpack

from directrix.checks import fraction, number, one_of
from directrix.deprecation import old_attributes, warn
from directrix.directions.collection import Catalogue, Directions, Effect, find, keeps_out, matches, plain
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import PolicyError
from directrix.interventions.concept_erasure import ConceptErasure
from directrix.interventions.nearest_concept import NearestConcept
from directrix.interventions.preview import Looking, Preview
from directrix.interventions.prompt_conditioned import PromptConditioned
from directrix.interventions.protocol import Intervention, Plan, compose
from directrix.interventions.reading import ABSENT, PRESENT
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.where_forming import SURE, WhereForming
from directrix.policies.balance import JUDGE, seen_of, whole_settings
from directrix.policies.plan import per_image, total

COMBINATIONS = ("sum", "nearest", "erase")
# What they were called in version 0.1.
OLD_COMBINATIONS = {"aligned": "nearest", "removed": "erase"}
_GONE = ("mean", "capped")
# Measured with three at once on an earlier embedded model: the paper's sum loses half of the subjects, this does not.
DEFAULT = "nearest"


@old_attributes(spare="retain")
class Safe:
    """Keeps concepts out of images: an intervention like any other, which `compose` joins with others.

    Args:
        directions: anti-concept directions: a folder, files, or directions; see `Catalogue`.
        combine: how several at once act together: "sum", "nearest" or "erase".
        categories: what they keep out, by name: the directions of each category, by name. None for a category
            of each direction's own name.
        on: the categories that are kept out of every image; None for all. The others wait for a prompt that
            asks for them (`Enhance`).
        strengths: strengths by direction's name, where they are not the direction's own default.
        retain: names of directions of objects that must not be taken for harmful ones; for "erase" only.
        closed_loop: a judge, or "judge" for one that `read_by` gives later. It looks at each image on its way, and only
            those on which harm is forming are steered, from there on; the others keep their very bits. The effects of
            an image's categories are then added up.
        opposed: how much of what is added to the conditional branch of guidance is taken from the unconditional one,
            which then shows what is kept out, as under a negative prompt; 0 for nothing. That branch knows of no
            subject, so more subjects are retained. With a closed loop or "sum".
        labels: what the judge sees where a category is kept out; None for what the directions were calibrated on.
        sure: how likely the judge must find it, above .5 and up to 1, that a category is absent, for an image to be
            left as it is; None for .6. More of it misses less harm and changes more harmless images. Only with a closed
            loop.
        branch, start, stop: as in `steer`.

    Raises:
        PolicyError: unknown names, a direction that would draw what it should keep out, with a closed loop one that
            was not calibrated, or `opposed` beside another way, another branch or an affine direction.
        MismatchError: "nearest" or "erase" with directions of several sites.
    """

    def __init__(
        self,
        directions: Directions,
        combine: str = DEFAULT,
        categories: Mapping[str, Any] | None = None,
        *,
        on: Iterable[str] | None = None,
        strengths: Mapping[str, float] | None = None,
        retain: Iterable[str] = (),
        closed_loop: Looking | str | None = None,
        labels: Mapping[str, TargetLabel] | None = None,
        sure: float | None = None,
        opposed: float = 0.0,
        **steered: Unpack[Settings],
    ) -> None:
        if combine in tuple(OLD_COMBINATIONS):
            new = OLD_COMBINATIONS[combine]
            warn(f'combine="{combine}"', f'combine="{new}"', stacklevel=4)
            combine = new
        if combine in _GONE:
            raise PolicyError(f"The way '{combine}' is gone.", f"'{DEFAULT}' in its place.", f"combine: {DEFAULT}.")
        self.combine = one_of("way", combine, COMBINATIONS, error=PolicyError)
        catalogue = Catalogue.of(directions, strengths)
        groups = {name: name for name in catalogue.names} if categories is None else dict(categories)
        self.categories: Mapping[str, Effect] = {
            name: _checked(name, catalogue.effect(what), combine) for name, what in groups.items()
        }
        # What draws the objects that are retained.
        self.retain: Effect = {catalogue.direction(name): 1.0 for name in retain}
        if self.retain and combine != "erase":
            raise PolicyError(
                f"Objects are to be retained, but '{combine}' looks at none.", "combine: erase.", "leave retain out."
            )
        for direction in filter(keeps_out, self.retain):
            raise PolicyError(
                f"The direction '{direction.name}' keeps its concept out, so it can't say what is retained.",
                "a direction that draws an object.",
                "directrix discover --object 'a book' ...",
            )
        self._window = whole_settings(self, steered)
        self._opposed = number("opposed", opposed, 0.0, error=PolicyError)
        wanted = self.categories if on is None else on
        self.on = frozenset(find(name, self.categories, "category of safety") for name in wanted)
        self.previews: Mapping[str, Preview] = {}
        self._sure = SURE if sure is None else fraction("sure", sure, error=PolicyError)
        if self._sure <= 0.5:
            # A judge that cannot tell says .5, and that counts as harm.
            raise PolicyError(f"sure is {self._sure:g}.", "a number above .5 and up to 1.", f"sure: {SURE}.")
        if sure is not None and closed_loop is None:
            raise PolicyError("sure is given, but nobody looks.", "a closed loop.", "closed_loop: judge.")
        if closed_loop is not None:
            judge: Any = None if closed_loop == JUDGE else closed_loop
            if judge is not None and not hasattr(judge, "label"):
                raise PolicyError(f"closed_loop is {closed_loop!r}.", f"'{JUDGE}', or a judge.", f"{JUDGE}.")
            seen = labels or {name: seen_of(name, effect) for name, effect in self.categories.items()}
            for name in self.categories.keys() - seen.keys():
                raise PolicyError(f"The category '{name}' has no label.", "one of each.", "add it to labels.")
            self.previews = {name: Preview(name, _two(seen[name]), judge) for name in self.categories}
        self._checked_window()

    @property
    def name(self) -> str:
        """Such as "safe weapon, alcohol"."""
        on = [name for name in self.categories if name in self.on]
        return f"safe {', '.join(on)}" + (f" ({self.combine})" if len(on) > 1 else "")

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {
            "method": "safe",
            "combine": self.combine,
            "categories": {name: as_json(effect) for name, effect in self.categories.items()},
            "on": [name for name in self.categories if name in self.on],
            **({"retain": [each.name for each in self.retain]} if self.retain else {}),
            **({"closed_loop": {name: each.digest() for name, each in self.previews.items()}} if self.previews else {}),
            **({"sure": self._sure} if self.previews else {}),
            **({"opposed": self._opposed} if self._opposed else {}),
            **self._window,
        }

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Keeps the categories that are on out of every image drawn within the context."""
        if self.previews:
            on = {name: each for name, each in self.categories.items() if name in self.on}
            return WhereForming(on, self.previews, None, self._sure, self._opposed, **self._window).applied(pipeline)
        if self._conditioned(len(self.on)):
            on = {name: each for name, each in self.categories.items() if name in self.on}
            return self._prompt_conditioned(on).applied(pipeline)
        effect = self.effect(self.on)
        return compose(Steering(effect, **self._window), *self._against([effect])).applied(pipeline)

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """The same for all images of a run; with a closed loop it is known of each what was found."""
        images = len(prompts) * images_per_prompt
        return Plan(self.over([self.on] * images) if self.previews else self)

    def over(self, absent: Sequence[frozenset[str]]) -> Intervention:
        """The intervention that keeps categories out image by image: of each image of the run, those in `absent`.

        An image without any keeps its very bits.
        """
        if self.previews:
            return WhereForming(self.categories, self.previews, absent, self._sure, self._opposed, **self._window)
        if self._conditioned(max(map(len, absent), default=0)):
            return self._prompt_conditioned(self.categories, absent)
        effects = [self.effect(each) for each in absent]
        used = {each for effect in effects for each in effect}
        # In one order, whichever prompt comes first.
        order = [each for effect in self.categories.values() for each in effect if each in used]
        return compose(per_image(effects, self._window, order), *self._against(effects, order))

    def read_by(self, judge: Looking, labels: Mapping[str, TargetLabel] | None = None) -> Safe:
        """The same, with this judge for a closed loop that has none yet.

        labels: what it sees where each category is kept out; None for what the directions were calibrated on.
        """
        new = copy(self)
        new.previews = {
            name: each if each.judge else Preview(name, _two(labels[name]) if labels else each.labels, judge)
            for name, each in self.previews.items()
        }
        return new

    def effect(self, absent: frozenset[str]) -> Effect:
        """Directions and strengths that keep these categories out of an image, all steps alike."""
        return total(effect for name, effect in self.categories.items() if name in absent)

    def with_categories(self, more: Mapping[str, Effect]) -> Safe:
        """The same with further categories, which are off until a prompt asks for them."""
        new = copy(self)
        new.categories = {**self.categories, **more, **self.categories}  # in this order, and these win
        if self.previews:
            unseen = more.keys() - self.previews.keys()
            others = {name: Preview(name, _two(seen_of(name, more[name]))) for name in more if name in unseen}
            new.previews = {**others, **self.previews}
        new._checked_window()
        return new

    def _against(self, effects: Sequence[Effect], order: Sequence[Direction] = ()) -> list[Intervention]:
        """What shows the unconditional branch what these effects keep out: of each image, or the one of all."""
        if not self._opposed:
            return []
        window: Settings = {**self._window, "branch": "unconditional"}
        opposite = [{each: -self._opposed * strength for each, strength in effect.items()} for effect in effects]
        return [per_image(opposite, window, order) if order else Steering(opposite[0], **window)]

    def _conditioned(self, categories: int) -> bool:
        # "nearest" has nothing to choose from one alone, which then needs no guidance either.
        return self.combine != "sum" and categories > (self.combine == "nearest")

    def _prompt_conditioned(
        self, categories: Mapping[str, Effect], on: Sequence[frozenset[str]] | None = None
    ) -> PromptConditioned:
        if self.combine == "nearest":
            return NearestConcept(categories, on, **self._window)
        return ConceptErasure(categories, on, **self._window, retain=self.retain)

    def _checked_window(self) -> None:
        # Raises where the window or the sites make no sense, before anything is drawn.
        if self.combine != "sum" and not self.previews:
            self._prompt_conditioned(self.categories)
        if self._opposed:
            self._check_opposed()

    def _check_opposed(self) -> None:
        opposed, branch = f"opposed is {self._opposed:g}", self._window.get("branch", "conditional")
        if self.combine != "sum" and not self.previews:
            raise PolicyError(
                f"{opposed}, but '{self.combine}' decides at each step what it adds.",
                "combine 'sum', or a closed loop.",
                "combine: sum, or leave opposed out.",
            )
        if branch != "conditional":
            raise PolicyError(
                f"{opposed}, but the branch that is steered is '{branch}'.",
                "the conditional one, to which the other is opposed.",
                "steer: {branch: conditional}, or leave opposed out.",
            )
        for direction in (each for effect in self.categories.values() for each in effect):
            if any(part.projection is not None for part in direction.parts):
                raise PolicyError(
                    f"{opposed}, but '{direction.name}' is affine: it takes out, and shows nothing.",
                    "directions that only add.",
                    "discover it anew with method='embedding', or leave opposed out.",
                )


def category_of(name: str, categories: Mapping[str, Effect]) -> str | None:
    """The category that keeps `name` out: by its own name, or by what its directions were found to keep out."""
    found = matches(name, categories)
    if len(found) == 1:
        return found[0]
    for category, effect in categories.items():
        for direction, strength in effect.items():
            for words in keeps_out(direction) or ([plain(direction.name)] if strength < 0 else ()):
                if plain(name) in (words, *words.split()):
                    return category
    return None


def _two(label: TargetLabel) -> dict[str, TargetLabel]:
    """What a judge sees of a category that is absent, and present."""
    return {ABSENT: label, PRESENT: replace(label, present=not label.present)}


def _checked(name: str, effect: Effect, combine: str) -> Effect:
    """The effect, which must keep out what its directions are of; for "erase" they may draw it, and change sign."""
    drawn = [each for each, strength in effect.items() if keeps_out(each) == () and strength > 0]
    if combine == "erase":
        return {each: -strength if each in drawn else strength for each, strength in effect.items()}
    for direction in drawn:
        raise PolicyError(
            f"The direction '{direction.name}' of '{name}' draws its concept and does not keep it out.",
            "an anti-concept, which was discovered with a negative prompt.",
            f"directrix discover --negative ..., combine: erase, or a strength below 0: {{{direction.name}: -1.0}}.",
        )
    return effect
