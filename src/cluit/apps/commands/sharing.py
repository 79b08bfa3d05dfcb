"""Hand a model on."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Model, Out

Licence = Annotated[str | None, arg(metavar="NAME")]
Scores = Annotated[Path | None, arg(metavar="DIR")]


def save(
    model: Model,
    *,
    out: Out,
    half: bool = False,
    license: Licence = None,
    scores: Scores = None,
    sample: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a run's model by itself: model.safetensors, model.json and README.md, its card.

    Args:
        model: A run, a saved model's folder, hf://user/name, or the word portraits.
        out: A folder.
        half: Store float16: half the size.
        license: What others may do with it, as the hub names licences, e.g. mit; by default none is stated.
        scores: A folder that cluit evaluate wrote, whose figures the card shows.
        sample: Show the run's latest grid; it holds pictures of yours. A model of portraits always does.
        overwrite: Replace a model that is there.
    """
    from cluit.apps.api import load

    painter = load(model, device="cpu", precision="float32")
    painter.save_pretrained(
        out, half=half, license=license, scores=scores, sample=sample, overwrite=overwrite
    )
    print(f"model in {out}")


def push(
    model: Model,
    repo: Annotated[str, Positional, arg(metavar="REPO")],
    *,
    private: bool = False,
    half: bool = False,
    license: Licence = None,
    scores: Scores = None,
    sample: bool = False,
) -> None:
    """Hand a model in at the Hugging Face Hub, with a card that says what it is.

    Log in with hf auth login first, or set HF_TOKEN. What is handed in is what cluit save writes.

    Args:
        model: A run, a saved model's folder, hf://user/name, or the word portraits.
        repo: Whose and what it is called, user/name; made if need be.
        private: For nobody else to see.
        half: Store float16: half the size.
        license: What others may do with it, as the hub names licences, e.g. mit; by default none is stated.
        scores: A folder that cluit evaluate wrote, whose figures the card shows.
        sample: Show the run's latest grid; it holds pictures of yours. A model of portraits always does.
    """
    from cluit.apps.api import load

    painter = load(model, device="cpu", precision="float32")
    page = painter.push_to_hub(
        repo, private=private, half=half, license=license, scores=scores, sample=sample
    )
    print(page)
    if "license" not in painter.card and license is None:
        print("the card states no licence; --license NAME states one")
