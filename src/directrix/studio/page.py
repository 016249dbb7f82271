"""The page: its title, its tabs and its looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from directrix.studio.audit_tab import AuditTab
from directrix.studio.desk import Desk
from directrix.studio.discover_tab import DiscoverTab
from directrix.studio.policy_tab import PolicyTab
from directrix.studio.steer_tab import SteerTab

TITLE = "Directrix studio"
_ABOUT = (
    "# Directrix studio\n"
    "A direction moves a frozen image model towards a concept. Compare the same seeds with and without it."
)
_JOBS = ("steer", "strip", "discover", "policy", "audit")
STYLE = Path(__file__).with_name("style.css")


def page(desk: Desk) -> Any:
    """The page as `gr.Blocks`."""
    import gradio as gr

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown(_ABOUT)
        # Outside of the tabs: what is in a tab that nobody has opened yet has no value when the page loads.
        jobs = {each: gr.BrowserState(None, storage_key=f"directrix-studio-{each}") for each in _JOBS}
        with gr.Tab("Steer"):
            steer = SteerTab(desk, jobs["steer"], jobs["strip"])
        loads: list[Any] = []

        def sliders_follow(event: Any) -> None:
            function, inputs, outputs, settings = steer.refresh
            event.then(function, inputs, outputs, **settings)

        with gr.Tab("Discover"):
            discover = DiscoverTab(desk, jobs["discover"], sliders_follow)
        # The policies' categories are those of the starter directions.
        if desk.artist.starters and desk.artist.given(desk.artist.models[0]):
            with gr.Tab("Fair and safe"):
                policy = PolicyTab(desk, jobs["policy"])
                loads += [policy.restore, policy.on_load]
        with gr.Tab("Audit") as tab:
            audit = AuditTab(desk, jobs["audit"])
        # Directions that were saved meanwhile are methods too.
        function, inputs, outputs, settings = audit.offer
        tab.select(function, inputs, outputs, **settings)
        loads += [steer.restore, discover.restore, discover.on_load, audit.refresh, audit.restore, audit.on_load]
        for function, inputs, outputs, settings in loads:
            blocks.load(function, inputs, outputs, **settings)
        steer.load(blocks)
    blocks.queue(api_open=False, max_size=500, default_concurrency_limit=None)
    return blocks


def theme() -> Any:
    """Calm colours with enough contrast, and the fonts of the visitor's own system."""
    import gradio as gr

    fonts = [gr.themes.Font(each) for each in ("system-ui", "sans-serif")]
    mono = [gr.themes.Font(each) for each in ("ui-monospace", "monospace")]
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        color_accent="*primary_700",
    )
