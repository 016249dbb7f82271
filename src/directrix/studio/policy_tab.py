"""The tab Fair and safe: prompts plain and under a policy that a form makes."""

from collections.abc import AsyncIterator
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio import markup, wording_markup
from directrix.studio.desk import Desk, failed
from directrix.studio.jobs import Job
from directrix.studio.policy_run import ABSENT, ATTRIBUTES, PolicyForm, PolicyResult, loop_possible, prompts_of, run
from directrix.studio.recipe import MOST_IMAGES, MOST_SEED, MOST_WORDS

_EMPTY = '<p class="dx-empty">Choose what the policy does, and press Compare.</p>'


class PolicyTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`.

    remembered: a `gr.BrowserState` for the name of its job.
    """

    def __init__(self, desk: Desk, remembered: Any) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist = gr, desk, desk.artist
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                text = gr.Textbox("a judge\na nurse", label="Prompts, one a line", lines=3, max_length=4 * MOST_WORDS)
                read = gr.HTML("", elem_id="dx-reading")
                with gr.Row():
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, min_width=90)
                    images = gr.Number(
                        4, label="Images of each", precision=0, minimum=1, maximum=MOST_IMAGES, min_width=90
                    )
                names = list(self._artist.models)
                model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
                fair = gr.CheckboxGroup(list(ATTRIBUTES), value=["gender"], label="Even shares of")
                women = gr.Slider(0, 100, value=50, step=5, label="Women, in percent of the images", elem_id="dx-women")
                absent = gr.CheckboxGroup(list(ABSENT), label="In no image")
                enhance = gr.Checkbox(
                    False, label="Prompts may ask for it in words: “a nurse of any gender”", elem_id="dx-enhance"
                )
                possible = loop_possible(self._artist, names[0])
                loop = gr.Checkbox(
                    possible, label="Change as few images as possible: a judge looks half-way", visible=possible
                )
                with gr.Row():
                    compare = gr.Button("Compare", variant="primary", min_width=90, elem_id="dx-compare")
                    cancel = gr.Button("Cancel", min_width=90)
                form = [fair, absent, enhance, women, loop]
                begun = PolicyForm(("gender",), closed_loop=possible).yaml()
                file = gr.Code(begun, language="yaml", label="policy.yaml", interactive=False)
            with gr.Column(scale=5, min_width=300):
                status = gr.HTML(markup.status(None, 0), elem_id="dx-policy-status")
                shown = gr.HTML(_EMPTY, elem_id="dx-policy-images")
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        given = [text, seed, images, model, *form]

        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        async def draw(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(visitor(request), *values):
                yield each

        async def reload(name: str | None, request: Request) -> AsyncIterator[list[Any]]:
            job = desk.returned(visitor(request), name)
            async for each in self._follow(job):
                yield each

        def restore(name: str | None) -> list[Any]:
            asked = getattr(desk.job(name), "asked", None)
            if asked is None:
                return [gr.skip()] * (len(given) + 2)
            *plain, chosen, policy = asked
            looks = gr.update(value=policy.closed_loop, visible=loop_possible(self._artist, chosen))
            ticked = [list(policy.fair), list(policy.absent), policy.enhance, policy.women, looks]
            return [*plain, chosen, *ticked, policy.yaml(), _read(plain[0], policy.enhance)]

        def stop(request: Request) -> str:
            return markup.status(desk.cancel(visitor(request)), 0)

        outputs = [status, shown, remembered]
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        compare.click(draw, given, outputs, **follows)
        cancel.click(stop, None, status, **private)
        gr.on([each.change for each in form], _yaml, form, file, **private)
        # Not `text.input`, which misses what is pasted.
        gr.on([text.change, enhance.change], _read, [text, enhance], read, **private)
        # Not `change`, which comes after a reload too and would take the tick away.
        model.input(self._loop, model, loop, **private)
        self.restore = (restore, [remembered], [*given, file, read], private)
        self.on_load = (reload, [remembered], outputs, follows)

    def _loop(self, model: str) -> Any:
        known = self._artist.models
        possible = loop_possible(self._artist, model if model in known else known[0])
        return self._gr.update(visible=possible, value=possible)

    async def _draw(self, visitor: str, *values: Any) -> AsyncIterator[list[Any]]:
        text, seed, images, model, *form = values
        known = self._artist.models
        try:
            prompts, policy = prompts_of(text or ""), _form(*form)
            policy.settings([])
            chosen = model if model in known else known[0]
            job = self._desk.submit(
                visitor,
                lambda job: run(job, self._artist, chosen, prompts, images, seed, policy),
                asked=(text, seed, images, chosen, policy),
            )
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), self._gr.skip(), self._gr.skip()]
            return
        async for each in self._follow(job):
            yield each

    async def _follow(self, job: Job | None) -> AsyncIterator[list[Any]]:
        # Gradio would empty what a function fills that never answers: for a job that is gone, or was cancelled at once.
        yield [self._gr.skip()] * 3
        if job is None:
            return
        shows = 0
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                return
            # Images are long: only what is new is sent again.
            fresh = isinstance(job.latest, PolicyResult) and (job.shows != shows or job.over)
            shows = job.shows
            yield [markup.status(job, place), markup.policy(job.latest) if fresh else self._gr.skip(), job.name]


def visitor(request: Any) -> str:
    """Who compares: a visitor's comparison is not cancelled by what the same visitor draws elsewhere."""
    return f"{request.session_hash} policy"


def _form(fair: Any, absent: Any, enhance: Any, women: Any, loop: Any) -> PolicyForm:
    """The form with what it offers, whatever a browser sends. Raises PolicyError: a share out of range."""
    chosen = tuple(each for each in ATTRIBUTES if each in (fair or ()))
    share = int(women) if isinstance(women, int | float) else -1
    avoided = tuple(each for each in ABSENT if each in (absent or ()))
    return PolicyForm(chosen, avoided, bool(enhance), share, bool(loop))


def _read(text: str, enhance: bool) -> str:
    return wording_markup.readings(str(text or ""), bool(enhance))


def _yaml(*form: Any) -> str:
    try:
        return _form(*form).yaml()
    except DirectrixError as error:
        return f"# {error.happened}\n"
