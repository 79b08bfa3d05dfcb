"""Hand a model on."""

from cluit.apps.commands.types import Model, Out


def save(model: Model, *, out: Out, half: bool = False, overwrite: bool = False) -> None:
    """Write a run's model by itself: two files, model.safetensors and model.json.

    Args:
        model: A run, a saved model's folder, or the word portraits.
        out: A folder.
        half: Store float16: half the size.
        overwrite: Replace a model that is there.
    """
    from cluit.apps.api import save

    save(model, out, half=half, overwrite=overwrite)
    print(f"model in {out}")
