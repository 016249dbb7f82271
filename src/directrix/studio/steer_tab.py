"""The tab Steer: a slider for each direction, and the images of the same seeds unsteered and steered."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from directrix.directions.card import calibration
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError
from directrix.studio import markup
from directrix.studio.artist import Pairs, Strip
from directrix.studio.desk import Desk, failed
from directrix.studio.direction_markup import saturates_at
from directrix.studio.downloads import handed_out
from directrix.studio.jobs import Job
from directrix.studio.recipe import MOST_IMAGES, MOST_SEED, MOST_WORDS, Recipe
from directrix.studio.shelf import MOST
from directrix.studio.trace import Trace, trace

_STRENGTHS = (
    "**Strengths.** 0 changes nothing, and less than 0 moves away from the concept. Where a range was not measured, "
    "1 adds what the words themselves would."
)
EMPTY = '<p class="dx-empty">Move a slider, or press Draw. The images appear here.</p>'


class SteerTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`.

    remembered: a `gr.BrowserState` for the name of its job.
    """

    def __init__(self, desk: Desk, remembered: Any) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist, self.remembered = gr, desk, desk.artist, remembered
        first = self._artist.models[0]
        names = self._artist.names(first)
        # Sliders without a direction are hidden, until somebody saves one. Who looks at a page knows what each was of.
        self._places = MOST + max(len(self._artist.given(model)) for model in self._artist.models)
        self.names = gr.State(names)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self.prompt = gr.Textbox("a firefighter", label="Prompt", max_length=MOST_WORDS, elem_id="dx-prompt")
                with gr.Row():
                    self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, min_width=90)
                    self.images = gr.Number(
                        4, label="Images", precision=0, minimum=1, maximum=MOST_IMAGES, min_width=90
                    )
                self.model = gr.Dropdown(
                    list(self._artist.models), value=first, label="Model", visible=len(self._artist.models) > 1
                )
                with gr.Row():
                    self.draw = gr.Button("Draw", variant="primary", min_width=70, elem_id="dx-draw")
                    self.cancel = gr.Button("Cancel", min_width=70, elem_id="dx-cancel")
                    self.reset = gr.Button("Reset", min_width=70)
                gr.Markdown(_STRENGTHS)
                with gr.Column(elem_id="dx-sliders"):
                    self.sliders = [gr.Slider(**each, value=0.0, step=0.05) for each in self._sliders(first, names)]
            with gr.Column(scale=5, min_width=300):
                self.status = gr.HTML(markup.status(None, 0), elem_id="dx-status")
                self.view = gr.Radio(list(markup.VIEWS), value=markup.VIEWS[0], label="View")
                self.shown = gr.HTML(EMPTY, elem_id="dx-images")
                with gr.Row():
                    self.along = gr.Dropdown(names, value=names[0] if names else None, label="Direction of the strip")
                    self.strip = gr.Button("Strip over strengths", min_width=160, elem_id="dx-strip")
                    self.where = gr.Button("Where, step by step", min_width=160, elem_id="dx-where")
                self.strip_shown = gr.HTML("", elem_id="dx-strip-images")
                self.download = gr.DownloadButton("Download PNG with its recipe", interactive=False, elem_id="dx-png")
                with gr.Accordion("Reproduce these images", open=False):
                    self.shell = gr.Code(
                        language="shell", lines=2, label="Command line", interactive=False, wrap_lines=True
                    )
                    self.python = gr.Code(
                        language="python", lines=2, label="Python", interactive=False, wrap_lines=True
                    )
        self._wire()

    def _sliders(self, model: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Of each slider its label, its ends and a sentence about them."""
        known = self._artist.directions(model)
        rows: list[dict[str, Any]] = []
        for name in names[: self._places]:
            low, high = known[name].strengths.minimum, known[name].strengths.maximum
            row = {"label": name, "minimum": min(low, 0.0), "maximum": high, "visible": True}
            rows.append({**row, "info": _measured(known[name])})
        hidden = {"label": "none", "minimum": -1.0, "maximum": 1.0, "visible": False, "info": None}
        return rows + [hidden] * (self._places - len(rows))

    def _wire(self) -> None:
        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        gr = self._gr
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        given = [self.model, self.prompt, self.seed, self.images, self.view, self.names, *self.sliders]
        outputs = [
            self.status, self.shown, self.strip_shown, self.shell, self.python, self.download, self.remembered,
        ]  # fmt: skip

        async def draw(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), values):
                yield each

        async def where(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), values, traced=True):
                yield each

        async def strip(along: str, request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), values, along):
                yield each

        async def reload(name: str | None, view: str, request: Request) -> AsyncIterator[list[Any]]:
            job = self._desk.returned(str(request.session_hash), name)
            async for each in self._follow(job, view):
                yield each

        def cancel(request: Request) -> str:
            return markup.status(self._desk.cancel(str(request.session_hash)), 0)

        def look(name: str | None, view: str) -> Any:
            job = self._desk.queue.get(name if isinstance(name, str) else None)
            known = job is not None and isinstance(job.result, Pairs)
            return markup.pairs(job.result, view) if job is not None and known else gr.skip()

        def refresh(model: str, along: str | None, before: list[str], *values: Any) -> list[Any]:
            return sliders(model, along, before, dict(zip(before, values, strict=False)))

        def restore(name: str | None, model: str, along: str | None, before: list[str], *values: Any) -> list[Any]:
            job = self._desk.queue.get(name if isinstance(name, str) else None)
            recipe = getattr(job and job.result, "recipe", None)
            if recipe is None:
                return [*self._skipped(4), *refresh(model, along, before, *values)]
            shown = sliders(recipe.model, along, [], recipe.strengths)
            return [recipe.model, recipe.prompt, recipe.seed, recipe.images, *shown]

        def sliders(model: str, along: str | None, before: list[str], at: Mapping[str, float]) -> list[Any]:
            model = model if model in self._artist.models else self._artist.models[0]
            names = self._artist.names(model)
            rows = self._sliders(model, names)
            # A slider that stays in its place is not moved: its visitor may have moved it meanwhile.
            stays = [label == row["label"] for label, row in zip([*before, *[None] * len(rows)], rows, strict=False)]
            moved = [
                gr.update(**row, **({} if same else {"value": _within(at.get(row["label"], 0.0), row)}))
                for same, row in zip(stays, rows, strict=True)
            ]
            return [names, gr.update(choices=names, value=along if along in names else next(iter(names), None)), *moved]

        for slider in self.sliders:
            slider.input(draw, given, outputs, **follows)
        gr.on([self.draw.click, self.prompt.submit], draw, given, outputs, **follows)
        self.strip.click(strip, [self.along, *given], outputs, **follows)
        self.where.click(where, given, outputs, **follows)
        self.cancel.click(cancel, None, self.status, **private)
        self.reset.click(lambda: [0.0] * len(self.sliders), None, self.sliders, **private)
        self.view.change(look, [self.remembered, self.view], self.shown, **private)
        shown = ([self.model, self.along, self.names, *self.sliders], [self.names, self.along, *self.sliders])
        self.model.change(refresh, *shown, **private)
        self.refresh = (refresh, *shown, private)
        form = [self.model, self.prompt, self.seed, self.images]
        self.restore = (restore, [self.remembered, *shown[0]], [*form, *shown[1]], private)
        self.on_load = (reload, [self.remembered, self.view], outputs, follows)

    def _recipe(self, values: tuple[Any, ...]) -> Recipe:
        model, prompt, seed, images, _, names, *strengths = values
        known = self._artist.models
        chosen = dict(zip(names, strengths, strict=False))
        model = model if model in known else known[0]
        starters = self._artist.starters
        saved = tuple(name for name in chosen if name in self._artist.shelf.directions(model))
        folder = "starters" if starters else "directions"
        return Recipe(model, prompt, seed, images, chosen, folder=folder, starters=starters, saved=saved)

    async def _draw(
        self, visitor: str, values: tuple[Any, ...], along: str = "", traced: bool = False
    ) -> AsyncIterator[list[Any]]:
        try:
            recipe = self._recipe(values)
            if along:
                job = self._desk.submit(visitor, lambda job: self._artist.strip(job, recipe, along))
            elif traced:
                job = self._desk.submit(visitor, lambda job: trace(job, self._artist, recipe))
            else:
                job = self._desk.submit(visitor, lambda job: self._artist.pairs(job, recipe))
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), *self._skipped(6)]
            return
        async for each in self._follow(job, values[4]):
            yield each

    async def _follow(self, job: Job | None, view: str) -> AsyncIterator[list[Any]]:
        # Gradio would empty what a function fills that never answers: for a job that is gone, or was cancelled at once.
        yield self._skipped(7)
        if job is None:
            return
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                # Whoever cancelled it has said so, or has begun another.
                return
            said = markup.status(job, place)
            if isinstance(job.result, Pairs):
                recipe = job.result.recipe
                file = self._gr.update(value=_written(job), interactive=True)
                images = markup.pairs(job.result, view)
                yield [said, images, self._gr.skip(), recipe.command(), recipe.python(), file, job.name]
            elif isinstance(job.result, Strip):
                yield [said, self._gr.skip(), markup.strip(job.result), *self._skipped(4)]
            elif isinstance(job.result, Trace):
                yield [said, self._gr.skip(), markup.trace(job.result), *self._skipped(4)]
            else:
                yield [said, *self._skipped(5), job.name]

    def _skipped(self, count: int) -> list[Any]:
        return [self._gr.skip()] * count


def _measured(direction: Direction) -> str | None:
    """What was measured of a direction's strengths, in a sentence; None where nothing was."""
    if calibration(direction.header) is None:
        return None
    at = saturates_at(direction)
    said = f"Measured: sensible up to {direction.strengths.maximum:g}"
    return f"{said}." if at is None else f"{said}; saturates at {at:g}, more adds no effect."


def _within(value: Any, row: Mapping[str, Any]) -> float:
    """A slider's value between its ends."""
    return min(max(float(value or 0.0), row["minimum"]), row["maximum"])


def _written(job: Job) -> str:
    """The job's PNG in a file that the page may hand out; it goes when the studio ends."""
    return handed_out("directrix.png", markup.png(job.result))
