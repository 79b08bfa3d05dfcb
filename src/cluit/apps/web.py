"""`cluit app`: a model in the browser, for as long as the command runs."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cluit.apps.api import SHIPPED, load
from cluit.apps.code_index import codes_of
from cluit.apps.gallery import open_gallery
from cluit.apps.pictures import PORTRAITS
from cluit.apps.sigterm import ended_by_sigterm
from cluit.apps.web_sessions import Sessions
from cluit.apps.web_studio import MEGA, Limits, Shelf, Studio
from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.images import as_picture
from cluit.core.machine import describe

if TYPE_CHECKING:
    import gradio as gr

HERE = "127.0.0.1"
DRAWN, SEARCHED = 24, 200  # portraits to pick from, and to search, where the shipped model is shown
SHOW = 2, 16  # of those, a cat that becomes a fox
MOST_OFFERED = 60  # pictures of a folder to pick from
THUMBNAIL = 128  # pixels a side


def app(
    model: str | Path = SHIPPED,
    *,
    gallery: str | Path | None = None,
    data: str | Path | None = None,
    index: str | Path | None = None,
    host: str = HERE,
    port: int = 7860,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    device: str = "auto",
    precision: str = "auto",
) -> None:
    """Serve the page until the process is interrupted or terminated; then nothing of it is left on the disk.

    gallery: a folder to pick sources and references from. data: a folder whose nearest styles are looked
    for. Either may be the word portraits, drawn ones, as both are by default with the shipped model.
    index: a file that keeps the codes of data, see `code_index`. host: who may see the page; this machine.
    UserError for what the user can mend.
    """
    if str(model) == SHIPPED:
        gallery, data = gallery or PORTRAITS, data or PORTRAITS
    if index and not data:
        raise UserError("an index is of a folder that is searched; name that too, with --data")
    with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="cluit-app-") as scratch:
        root = Path(scratch).resolve()
        # Read by Gradio as it is imported.
        os.environ |= {"GRADIO_TEMP_DIR": str(root), "GRADIO_ANALYTICS_ENABLED": "False"}
        needs("gradio", "the web page", "app")
        from cluit.apps.web_answers import Answers
        from cluit.apps.web_page import build

        painter = load(model, device=device, precision=precision)
        shelf = fill_shelf(gallery, root / "gallery" / "shown") if gallery else None
        searched = None
        if data:
            looked = open_gallery(data, painter.image_size, SEARCHED)
            searched = looked, codes_of(painter, looked, Path(index).expanduser() if index else None)[0]
        studio = Studio(painter, limits, searched)
        name = model if str(model) == SHIPPED else Path(model).resolve().name
        title = f"Any source in the style of any reference. Model `{name}`, {painter.image_size} px."
        page = build(Answers(studio, Sessions(root)), shelf, title)
        with served(page, host, port, limits.megabytes) as address:
            print(f"{describe(painter.device)}\nthe page is at {address} until Ctrl-C", flush=True)
            if host not in (HERE, "localhost", "::1"):
                print("whoever reaches this machine can use it: there is no password", flush=True)
            threading.Event().wait()


def fill_shelf(data: str | Path, folder: Path) -> Shelf:
    """Pictures of ``data`` to pick from, spread over all of them, as small files in ``folder``.

    Of a folder the file itself is what is picked, of portraits what is shown.
    """
    pictures = open_gallery(data, THUMBNAIL, DRAWN)
    folder.mkdir(parents=True)
    shown, taken = list[Path](), list[Path]()
    for number, pixels in zip(*pictures.read(pictures.sample(MOST_OFFERED)), strict=True):
        small = folder / f"{len(shown):03}.png"
        as_picture(pixels).save(small)
        shown.append(small)
        taken.append(small if str(data) == PORTRAITS else Path(data).expanduser() / pictures.names[number])
    return Shelf(shown, taken, SHOW if str(data) == PORTRAITS else (0, -1))


@contextmanager
def served(page: "gr.Blocks", host: str, port: int, megabytes: float) -> Iterator[str]:
    """The page's address, while it is served. Nothing is fetched from elsewhere, nothing is sent there."""
    if not 0 < port < 2**16:
        raise UserError(f"there is no port {port}; --port takes 1 to {2**16 - 1}")
    import gradio as gr

    from cluit.apps.web_page import CSS, script

    font = gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")
    mono = gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")
    theme = gr.themes.Default(font=font, font_mono=mono).set(
        block_info_text_color="*neutral_500", block_info_text_color_dark="*neutral_300"
    )
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, max_file_size=int(megabytes * MEGA), prevent_thread_lock=True,
            theme=theme, css_paths=CSS, head=script(megabytes), footer_links=["api"], quiet=True,
            share=False, run_history=False, enable_monitoring=False, mcp_server=False, ssr_mode=False,
            pwa=False, inbrowser=False,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"cannot serve at {host}:{port}; choose another --port or --host") from error
    try:
        yield address
    finally:
        page.close(verbose=False)
