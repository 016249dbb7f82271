"""The tab Fair and safe: prompts plain and under a policy that a form makes."""

from collections.abc import AsyncIterator
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio import markup
from directrix.studio.desk import Desk, failed
from directrix.studio.policy_run import ABSENT, ATTRIBUTES, PolicyForm, PolicyResult, prompts_of, run
from directrix.studio.recipe import MOST_IMAGES, MOST_SEED, MOST_WORDS

_EMPTY = '<p class="dx-empty">Choose what the policy does, and press Compare.</p>'


class PolicyTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`."""

    def __init__(self, desk: Desk) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist = gr, desk, desk.artist
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                text = gr.Textbox("a judge\na nurse", label="Prompts, one a line", lines=3, max_length=4 * MOST_WORDS)
                with gr.Row():
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, min_width=90)
                    images = gr.Number(
                        4, label="Images of each", precision=0, minimum=1, maximum=MOST_IMAGES, min_width=90
                    )
                names = list(self._artist.models)
                model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
                fair = gr.CheckboxGroup(list(ATTRIBUTES), value=["gender"], label="Equal shares of")
                absent = gr.CheckboxGroup(list(ABSENT), label="In no image")
                enhance = gr.Checkbox(False, label="Prompts may ask for it in words: “a nurse of any gender”")
                with gr.Row():
                    compare = gr.Button("Compare", variant="primary", min_width=90, elem_id="dx-compare")
                    cancel = gr.Button("Cancel", min_width=90)
                form = [fair, absent, enhance]
                file = gr.Code(PolicyForm(("gender",)).yaml(), language="yaml", label="policy.yaml", interactive=False)
            with gr.Column(scale=5, min_width=300):
                status = gr.HTML(markup.status(None, 0), elem_id="dx-policy-status")
                shown = gr.HTML(_EMPTY, elem_id="dx-policy-images")
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        given = [text, seed, images, model, *form]

        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        async def draw(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), *values):
                yield each

        def stop(request: Request) -> str:
            return markup.status(desk.cancel(str(request.session_hash)), 0)

        compare.click(draw, given, [status, shown], **private, concurrency_limit=None, trigger_mode="multiple")
        cancel.click(stop, None, status, **private)
        gr.on([each.change for each in form], _yaml, form, file, **private)

    async def _draw(self, visitor: str, *values: Any) -> AsyncIterator[list[Any]]:
        text, seed, images, model, *form = values
        known = self._artist.models
        try:
            prompts, policy = prompts_of(text or ""), _form(*form)
            policy.settings([])
            chosen = model if model in known else known[0]
            job = self._desk.submit(visitor, lambda job: run(job, self._artist, chosen, prompts, images, seed, policy))
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), self._gr.skip()]
            return
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                return
            result = markup.policy(job.result) if isinstance(job.result, PolicyResult) else self._gr.skip()
            yield [markup.status(job, place), result]


def _form(fair: Any, absent: Any, enhance: Any) -> PolicyForm:
    """The form with what it offers, whatever a browser sends."""
    chosen = tuple(each for each in ATTRIBUTES if each in (fair or ()))
    return PolicyForm(chosen, tuple(each for each in ABSENT if each in (absent or ())), bool(enhance))


def _yaml(*form: Any) -> str:
    try:
        return _form(*form).yaml()
    except DirectrixError as error:
        return f"# {error.happened}\n"
