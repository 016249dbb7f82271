"""Project-and-set: the prompt's component in an attribute's span is taken out, and an image's category is added.

Many a word says more than it seems to: of a detective the model thinks light skin, and brown that is added to that
comes out lighter than brown. With h_c - h_u what the prompt is about at this step (see `prompt_conditioned`) and P_A
the orthogonal projection onto the span of what all categories of the attribute add,

    h' = h_c - P_A(h_c - h_u) + v_j

where j is the category that the image was given. Attributes that are balanced together are taken out together, so that
neither takes what is the other's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.errors import StrengthError
from directrix.interventions.prompt_conditioned import PromptConditioned, StepState
from directrix.interventions.steering import Steering, as_json
from directrix.models.activations import by_image

if TYPE_CHECKING:
    from torch import Tensor

# What directions of unit length share with no other but for so much is not the attribute: two opposites that were
# corrected by other attributes' directions differ from exact ones by a little of these.
_TOLERANCE = 0.1


class ProjectAndSet(PromptConditioned):
    """Categories put in the place of what the prompts say of their attributes.

    Args:
        attributes: for each attribute what each category adds, also those that no image is given; at each of their
            sites what the prompt says there is taken out.
        assigned: for each image of the run, the category that it is given of each attribute; one that adds nothing
            leaves the attribute alone.
        branch: "conditional", the branch in which guidance multiplies what the prompt says.
        start, stop: as in `steer`.
        insist: whether an error says so where guidance's branches cannot be compared; otherwise the category is added
            there, and nothing is taken out.

    Raises:
        StrengthError: another branch.
    """

    combine = "project-and-set"
    several_sites = True
    instead = "project_and_set=False, in a policy `project_and_set: false`"

    def __init__(
        self,
        attributes: Mapping[str, Mapping[str, Effect]],
        assigned: Sequence[Mapping[str, str]],
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
        *,
        insist: bool = True,
    ) -> None:
        if branch != "conditional":
            raise StrengthError(
                f"What a prompt says can't be taken out of the branch '{branch}'.",
                "branch='conditional'.",
                f"{self.instead}.",
            )
        self._attributes = {name: dict(categories) for name, categories in attributes.items()}
        self._as_json: dict[str, dict[str, Any]] = {}
        self._choices = {
            _key(attribute, category): (attribute, category)
            for attribute, categories in attributes.items()
            for category in categories
        }
        effects = {key: attributes[attribute][name] for key, (attribute, name) in self._choices.items()}
        acting = {key for key, effect in effects.items() if any(effect.values())}
        one_for_all: dict[frozenset[str], frozenset[str]] = {}
        on = [frozenset(_key(*each) for each in image.items()) & acting for image in assigned]
        on = [one_for_all.setdefault(each, each) for each in on]
        super().__init__(effects, on, branch, start, stop)
        self._insist = insist
        # By the categories of what is balanced together: what turns products with them into weights.
        self._inverses: dict[tuple[Any, ...], Tensor] = {}

    @property
    def name(self) -> str:
        """Such as "project-and-set woman, dark-skinned"."""
        return f"{self.combine} " + ", ".join(self._choices[key][1] for key in self._used())

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values; where all images are given the same, its directions as `Steering` names them."""
        config: dict[str, Any] = {"method": self.combine, **self._settings, "insist": self._insist}
        on = self._on or ()
        if len(set(on)) > 1:
            config["assigned"] = [dict(self._choices[key] for key in sorted(image)) for image in on]
        else:
            effects = [as_json(self._categories[key]) for key in self._used()]
            config["directions"] = [each for effect in effects for each in effect]
        given = self._attributes_given()
        config["attributes"] = {name: self._described(name) for name in self._attributes if name in given}
        return config

    def _described(self, attribute: str) -> dict[str, Any]:
        """What an attribute's categories add, as JSON values; the same for every image of a run, so it is made once."""
        if attribute not in self._as_json:
            effects = self._attributes[attribute].items()
            self._as_json[attribute] = {category: as_json(effect) for category, effect in effects}
        return self._as_json[attribute]

    def candidates(self) -> list[tuple[str, Effect]]:
        """Every category of the attributes that any image is given."""
        given = self._attributes_given()
        return [(key, self._categories[key]) for key, (attribute, _) in self._choices.items() if attribute in given]

    def weights(self, about: Tensor, candidates: Tensor, on: Tensor, state: StepState) -> Tensor:
        """1 for what an image is given, less what its prompt says of the same attributes."""
        import torch

        keys = [key for key, _ in self.candidates()]
        listed = [self._choices[key][0] for key in keys]
        same = torch.tensor([[one == other for other in listed] for one in listed])
        spans = [tuple(each) for each in (on.cpu().float() @ same.float() > 0).tolist()]
        weights = on.float()
        for span in sorted({each for each in spans if any(each)}):
            images = torch.tensor([place for place, each in enumerate(spans) if each == span])
            columns = torch.tensor(span).nonzero().flatten()
            # What other images of the batch are given must not show in the last bits of a product.
            mine = candidates[columns]
            inverse = self._inverse((state.site, *compress(keys, span)), mine)
            said = by_image(partial(_projected, mine, inverse), about[images])
            weights[images[:, None], columns] -= said
        return weights

    def beside(self) -> Steering:
        """What the images' categories add to the unconditional branch, of which no prompt says anything."""
        strengths: dict[Direction, list[float]] = {}
        on = self._on or ()
        for place, image in enumerate(on):
            for direction, strength in chain.from_iterable(self._categories[key].items() for key in image):
                if not all(part.is_conditional for part in direction.parts):
                    strengths.setdefault(direction, [0.0] * len(on))[place] += strength
        return Steering({_unconditional(each): tuple(values) for each, values in strengths.items()}, **self._settings)

    def unseen(self, on: Tensor) -> Tensor | None:
        """The category alone, unless that is not enough."""
        return None if self._insist else on.float()

    def _inverse(self, names: tuple[Any, ...], basis: Tensor) -> Tensor:
        """float32 (n, n): from products with these candidates to the weights that are projected to."""
        import torch

        key = (names, basis.shape[1], basis.device)
        if key not in self._inverses:
            # Small, so the CPU does it, in a precision and by a method that not every accelerator has.
            rows = basis.detach().cpu().double()
            lengths = rows.norm(dim=1).clamp_min(1e-12)
            rows = rows / lengths[:, None]
            inverse = torch.linalg.pinv(rows @ rows.T, rtol=_TOLERANCE**2, hermitian=True)
            inverse = inverse / lengths[:, None] / lengths
            self._inverses[key] = inverse.float().to(basis.device)
        return self._inverses[key]

    def _attributes_given(self) -> set[str]:
        return {self._choices[key][0] for key in self._used()}


def _projected(candidates: Tensor, inverse: Tensor, rows: Tensor) -> Tensor:
    """Rows (images, D) projected onto the candidates' span, as weights of these: (images, n)."""
    return rows @ candidates.T @ inverse.T


def _unconditional(direction: Direction) -> Direction:
    """Its parts of the unconditional branch."""
    return direction.with_(parts=[part for part in direction.parts if not part.is_conditional])


def _key(attribute: str, category: str) -> str:
    # No name holds the separator.
    return f"{attribute}\0{category}"
