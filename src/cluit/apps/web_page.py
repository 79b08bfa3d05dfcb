"""The page itself: which knobs there are, where they stand, and what they ask for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.components import Component

from cluit.apps.web_answers import Answers, Pictures
from cluit.apps.web_studio import MOST_NEAREST, MOST_REFERENCES, Shelf
from cluit.data.decode import SUFFIXES

AT_ONCE, WAITING = 2, 32
"""Requests that are worked on together, animations one at a time beside them; and those that may wait."""
OLDEST = 3600
"""Seconds that an upload is kept after its last use where nobody says that its page was closed."""
COARSE = 64
"""Pixels a side, up to which they are shown as they are rather than smoothed."""

CSS, SCRIPT = (Path(__file__).with_name(name) for name in ("web.css", "web.js"))


@dataclass(frozen=True)
class Inputs:
    """The knobs that several requests share."""

    sources: gr.Gallery
    references: gr.Gallery
    weights: Sequence[gr.Slider]
    domain: gr.Dropdown
    source_domain: gr.Dropdown


def build(answers: Answers, shelf: Shelf | None, title: str) -> gr.Blocks:
    """The page, not yet served. title: one line of Markdown below its name."""
    with gr.Blocks(analytics_enabled=False, title="cluit", delete_cache=(60, OLDEST)) as page:
        gr.Markdown(f"# cluit\n{title}")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                inputs = _inputs(answers, shelf)
            few = answers.studio.painter.image_size <= COARSE
            with gr.Column(scale=3, min_width=320, elem_classes="coarse" if few else None):
                asked, answer = _translation(answers, inputs)
                _more(answers, inputs)
        if shelf is not None:

            def open_with(request: gr.Request) -> tuple[list[str], ...]:
                session = request.session_hash or ""
                return tuple([str(answers.sessions.adopt(session, shelf.taken[i]))] for i in shelf.first)

            opened = page.load(
                open_with, outputs=[inputs.sources, inputs.references], api_visibility="private"
            )
            opened.then(answers.translate, asked, answer, concurrency_id="quick", api_visibility="private")
        page.unload(answers.end)
    return page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)


def _inputs(answers: Answers, shelf: Shelf | None) -> Inputs:
    """Sources and references, and what is told of them."""
    add = gr.Checkbox(
        False, label="a pick adds to the pictures there, instead of replacing them", render=False,
        visible=shelf is not None,
    )  # fmt: skip
    sources = _pictures("Sources: what is repainted", answers, shelf, add)
    references = _pictures("References: whose style is taken", answers, shelf, add)
    add.render()  # type: ignore[no-untyped-call]
    weights = [
        gr.Slider(0, 1, 1, step=0.05, label=f"Weight of reference {i}", visible=False)
        for i in range(1, MOST_REFERENCES + 1)
    ]
    references.change(_weights, references, weights, queue=False, api_visibility="private")
    domains = list(answers.studio.painter.domains)
    with gr.Row(visible=bool(domains)):
        first = domains[0] if domains else None
        source_domain = gr.Dropdown(domains, value=first, label="Domain of the sources", min_width=120)
        domain = gr.Dropdown(domains, value=first, label="Domain of the references", min_width=120)
    return Inputs(sources, references, weights, domain, source_domain)


def _weights(references: Pictures) -> list[gr.Slider]:
    """One weight for each reference of a mix; none where there is nothing to mix."""
    count = len(references or [])
    return [gr.Slider(visible=1 < count > i) for i in range(MOST_REFERENCES)]


def _pictures(label: str, answers: Answers, shelf: Shelf | None, add: gr.Checkbox) -> gr.Gallery:
    """A place to drop pictures, and a shelf below it to pick from, which adds to them or replaces them."""
    chosen = gr.Gallery(
        label=label, file_types=list(SUFFIXES), sources=["upload", "clipboard"], height="auto",
        object_fit="cover", allow_preview=False, buttons=[], interactive=True, elem_classes="chosen",
    )  # fmt: skip
    if shelf is None:
        return chosen
    offered = gr.Gallery(
        [str(path) for path in shelf.shown], label="or pick", show_label=False, allow_preview=False,
        interactive=False, buttons=[], elem_classes="shelf", height="auto", object_fit="cover",
    )  # fmt: skip

    def pick(there: Pictures, adding: bool, event: gr.SelectData, request: gr.Request) -> list[str]:
        picture = answers.sessions.adopt(request.session_hash or "", shelf.taken[event.index])
        return [*[path for path, _ in (there or []) if adding], str(picture)]

    offered.select(pick, [chosen, add], chosen, queue=False, api_visibility="private")
    return chosen


def _translation(answers: Answers, inputs: Inputs) -> tuple[list[Component], list[Component]]:
    """What is seen at once, and again at each change: what it depends on, and where it is shown."""
    made = gr.Gallery(
        label="Translation", format="png", elem_classes="made", height="auto",
        buttons=["download", "fullscreen"], interactive=False,
    )  # fmt: skip
    strength = gr.Slider(
        0, 1, 1, step=0.05, label="Strength", info="0: the source's own style; 1: the references'",
        elem_id="strength",
    )  # fmt: skip
    with gr.Row():
        full_size = gr.Checkbox(False, label="put the result back into the whole source", min_width=200)
        keep = gr.DownloadButton("Download", variant="primary", size="md", min_width=120)
    sliders, choices = (strength, *inputs.weights), (inputs.domain, inputs.source_domain)
    asked: list[Component] = [inputs.sources, inputs.references, *sliders, full_size, *choices]
    turned = full_size.change, *(one.change for one in sliders), *(one.change for one in choices)
    gr.on(
        [*turned], answers.translate, asked, [made, keep], api_name="translate",
        trigger_mode="always_last", show_progress="minimal", concurrency_id="quick",
    )  # fmt: skip
    for chosen, usable in (
        (inputs.sources, answers.usable_sources),
        (inputs.references, answers.usable_references),
    ):
        looked = chosen.change(
            usable, chosen, chosen, trigger_mode="always_last", show_progress="hidden",
            concurrency_id="quick", api_visibility="private",
        )  # fmt: skip
        looked.then(
            answers.translate, asked, [made, keep], trigger_mode="always_last", show_progress="minimal",
            concurrency_id="quick", api_visibility="private",
        )  # fmt: skip
    return asked, [made, keep]


def _more(answers: Answers, inputs: Inputs) -> None:
    """What is made when it is asked for."""
    sources, references, domains = inputs.sources, inputs.references, (inputs.domain, inputs.source_domain)
    with gr.Tab("Grid"):
        make = gr.Button("Paint every source in every reference's style", size="md")
        sheet = gr.Image(label="Grid", elem_classes="made", buttons=["fullscreen"], interactive=False)
        keep = gr.DownloadButton("Download the grid", size="md")
        make.click(
            answers.grid, [sources, references, inputs.domain], [sheet, keep], api_name="grid",
            concurrency_id="quick",
        )  # fmt: skip
    with gr.Tab("Walk"):
        with gr.Row():
            frames = gr.Slider(
                3, 15, 7, step=1, precision=0, label="Frames from style to style", min_width=140
            )
            seconds = gr.Slider(0.5, 4, 1.5, step=0.5, label="Seconds from style to style", min_width=140)
        with gr.Row():
            lay = gr.Button("Make a strip", size="md", min_width=120)
            move = gr.Button("Make an animation", size="md", min_width=120)
        strip = gr.Gallery(
            label="Strip", format="png", elem_classes=["made", "cells"], buttons=["fullscreen"],
            interactive=False, height="auto",
        )  # fmt: skip
        film = gr.Image(
            label="Animation", type="filepath", elem_classes="made", buttons=[], interactive=False
        )
        with gr.Row():
            keep_strip = gr.DownloadButton("Download the strip", size="md", min_width=120)
            keep_film = gr.DownloadButton("Download the animation", size="md", min_width=120)
        lay.click(
            answers.strip, [sources, references, frames, *domains], [strip, keep_strip], api_name="strip",
            concurrency_id="quick",
        )  # fmt: skip
        move.click(
            answers.animate, [sources, references, seconds, *domains], [film, keep_film],
            api_name="animate", concurrency_id="slow", concurrency_limit=1,
        )  # fmt: skip
    if answers.studio.searched is not None:
        with gr.Tab("Nearest styles"):
            count = gr.Slider(1, MOST_NEAREST, 8, step=1, precision=0, label="How many")
            look = gr.Button("Find pictures in the style of the references", size="md")
            found = gr.Gallery(
                label="Nearest styles", format="png", elem_classes=["made", "cells"], buttons=["fullscreen"],
                interactive=False, height="auto",
            )  # fmt: skip
            look.click(
                answers.nearest, [references, *inputs.weights, count, inputs.domain], found,
                api_name="nearest", concurrency_id="quick",
            )  # fmt: skip


def script(megabytes: float) -> str:
    """What runs in the browser, as HTML for the page's head."""
    text = SCRIPT.read_text("utf-8").replace("SUFFIXES", json.dumps(SUFFIXES))
    return f"<script>\n{text.replace('MEGABYTES', f'{megabytes:g}')}</script>"
