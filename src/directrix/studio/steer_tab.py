"""The tab Steer: a slider for each direction, and the images of the same seeds unsteered and steered."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from directrix.directions.card import calibration
from directrix.directions.direction import Direction, Strengths
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
    "1 adds what the words themselves would. A line across a slider marks where more adds no effect."
)
STEP = 0.05  # of a slider
EMPTY = '<p class="dx-empty">Move a slider, or press Draw. The images appear here.</p>'


class SteerTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`.

    remembered: a `gr.BrowserState` for the name of the job of its images.
    apart: another one, for that of a strip or of the differences step by step, which stand below them.
    """

    def __init__(self, desk: Desk, remembered: Any, apart: Any) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist, self.remembered, self.apart = gr, desk, desk.artist, remembered, apart
        # The job whose images are there, and the view in which they are.
        self._seen = gr.State(("", ""))
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
                rows = self._sliders(first, names)
                self.marks = gr.HTML(self._marks(first, rows), elem_id="dx-marks")
                with gr.Column(elem_id="dx-sliders"):
                    self.sliders = [
                        gr.Slider(**each, value=0.0, step=STEP, elem_id=f"dx-slider-{place}")
                        for place, each in enumerate(rows)
                    ]
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
            low, high = ends(known[name].strengths)
            row = {"label": name, "minimum": low, "maximum": high, "visible": True}
            rows.append({**row, "info": _measured(known[name])})
        hidden = {"label": "none", "minimum": -1.0, "maximum": 1.0, "visible": False, "info": None}
        return rows + [hidden] * (self._places - len(rows))

    def _marks(self, model: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """Where on each slider its effect saturates."""
        known, places = self._artist.directions(model), {}
        for place, row in enumerate(rows):
            at = saturates_at(known[row["label"]]) if row["visible"] else None
            if at is not None and at < row["maximum"]:
                places[f"dx-slider-{place}"] = (at - row["minimum"]) / (row["maximum"] - row["minimum"])
        return markup.marks(places)

    def _wire(self) -> None:
        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        gr = self._gr
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        given = [self.model, self.prompt, self.seed, self.images, self.view, self.names, *self.sliders]
        outputs = [
            self.status, self.shown, self.strip_shown, self.shell, self.python, self.download, self.remembered,
            self.apart, self._seen,
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

        async def reload(name: str | None, other: str | None, view: str, request: Request) -> AsyncIterator[list[Any]]:
            yield self._skipped(len(outputs))
            found = [(self._desk.job(each), apart) for each, apart in ((name, False), (other, True))]
            # The one that still runs comes last: it is the one to cancel.
            for job, apart in sorted(found, key=lambda each: each[0] is None or not each[0].over):
                self._desk.returned(str(request.session_hash), job and job.name)
                async for each in self._follow(job, view, apart):
                    yield each

        def cancel(request: Request) -> str:
            return markup.status(self._desk.cancel(str(request.session_hash)), 0)

        def look(seen: tuple[str, str], view: str) -> list[Any]:
            job = self._desk.job(seen[0])
            if job is None or seen[1] == view:
                return self._skipped(2)
            return [markup.pairs(job.result, view), (job.name, view)]

        def refresh(model: str, along: str | None, before: list[str], *values: Any) -> list[Any]:
            return sliders(model, along, before, dict(zip(before, values, strict=False)))

        def restore(
            name: str | None, other: str | None, model: str, along: str | None, before: list[str], *values: Any
        ) -> list[Any]:
            jobs = [job for job in (self._desk.job(name), self._desk.job(other)) if job is not None]
            if not jobs:
                return [*self._skipped(4), *refresh(model, along, before, *values)]
            recipe = max(jobs, key=lambda job: job.began).asked
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
            chosen = along if along in names else next(iter(names), None)
            return [names, gr.update(choices=names, value=chosen), self._marks(model, rows), *moved]

        # Somebody may have chosen another view while the images were drawn.
        self._view = (look, [self._seen, self.view], [self.shown, self._seen])
        for slider in self.sliders:
            slider.input(draw, given, outputs, **follows).then(*self._view, **private)
        gr.on([self.draw.click, self.prompt.submit], draw, given, outputs, **follows).then(*self._view, **private)
        self.strip.click(strip, [self.along, *given], outputs, **follows)
        self.where.click(where, given, outputs, **follows)
        self.cancel.click(cancel, None, self.status, **private)
        self.reset.click(lambda: [0.0] * len(self.sliders), None, self.sliders, **private)
        self.view.change(*self._view, **private)
        before = [self.model, self.along, self.names, *self.sliders]
        shown = [self.names, self.along, self.marks, *self.sliders]
        self.model.change(refresh, before, shown, **private)
        self.refresh = (refresh, before, shown, private)
        form = [self.model, self.prompt, self.seed, self.images]
        names = [self.remembered, self.apart]
        self.restore = (restore, [*names, *before], [*form, *shown], private)

        def load(blocks: Any) -> None:
            blocks.load(reload, [*names, self.view], outputs, **follows).then(*self._view, **private)

        self.load = load

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
                work = partial(self._artist.strip, recipe=recipe, name=along)
            elif traced:
                work = partial(trace, artist=self._artist, recipe=recipe)
            else:
                work = partial(self._artist.pairs, recipe=recipe)
            job = self._desk.submit(visitor, work, asked=recipe)
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), *self._skipped(8)]
            return
        async for each in self._follow(job, values[4], bool(along) or traced):
            yield each

    async def _follow(self, job: Job | None, view: str, apart: bool) -> AsyncIterator[list[Any]]:
        """apart: whether it is shown below the images."""
        # Gradio would empty what a function fills that never answers: for a job that is gone, or was cancelled at once.
        yield self._skipped(9)
        if job is None:
            return
        names = [self._gr.skip(), job.name] if apart else [job.name, self._gr.skip()]
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                # Whoever cancelled it has said so, or has begun another.
                return
            said, result = markup.status(job, place), job.result
            if isinstance(result, Pairs):
                file = self._gr.update(value=_written(job), interactive=True)
                lines = [result.recipe.command(), result.recipe.python(), file]
                yield [said, markup.pairs(result, view), self._gr.skip(), *lines, *names, (job.name, view)]
            elif isinstance(result, Strip | Trace):
                below = markup.strip(result) if isinstance(result, Strip) else markup.trace(result)
                yield [said, self._gr.skip(), below, *self._skipped(3), *names, self._gr.skip()]
            else:
                yield [said, *self._skipped(5), *names, self._gr.skip()]

    def _skipped(self, count: int) -> list[Any]:
        return [self._gr.skip()] * count


def _measured(direction: Direction) -> str | None:
    """What was measured of a direction's strengths, in a sentence; None where nothing was."""
    if calibration(direction.header) is None:
        return None
    at = saturates_at(direction)
    said = f"Sensible up to {direction.strengths.maximum:.3g}"
    return f"{said}." if at is None else f"{said}, saturates at {at:.3g}."


def ends(strengths: Strengths) -> tuple[float, float]:
    """The ends of a slider over sensible strengths: multiples of its step, so that 0 is one of its places."""
    low, high = (round(each / STEP, 3) for each in (min(strengths.minimum, 0.0), strengths.maximum))
    return round(math.ceil(low) * STEP, 2) + 0.0, round(max(math.floor(high), 1) * STEP, 2)


def _within(value: Any, row: Mapping[str, Any]) -> float:
    """A slider's value between its ends."""
    return min(max(float(value or 0.0), row["minimum"]), row["maximum"])


def _written(job: Job) -> str:
    """The job's PNG in a file that the page may hand out; it goes when the studio ends."""
    return handed_out("directrix.png", markup.png(job.result))
