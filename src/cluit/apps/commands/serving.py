"""Put a model in front of people."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device, Precision


def app(
    model: Annotated[str, Positional, arg(metavar="MODEL")] = "portraits",
    *,
    gallery: Annotated[str | None, arg(metavar="DIR")] = None,
    data: Annotated[str | None, arg(metavar="DIR")] = None,
    index: Annotated[Path | None, arg(metavar="FILE")] = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    megabytes: float = 20,
    megapixels: float = 40,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Try a model in the browser: drop pictures, see translations at once; needs the extra app.

    It works without the internet, and for this machine alone unless --host says otherwise. What is uploaded
    goes when its page is closed, and at the latest when the command ends.

    Args:
        model: A run, a saved or an exported model's folder, hf://user/name, or the word portraits.
        gallery: A folder of pictures to pick from, or the word portraits: drawn ones.
        data: A folder whose nearest styles can be looked for, or the word portraits.
        index: A *.safetensors that keeps the codes of --data for as long as model and pictures are the same.
        host: Address to listen at; 0.0.0.0 lets in all who reach this machine.
        port: To listen at.
        megabytes: Of one upload, at most.
        megapixels: Of one picture, at most.
        device: Where to work.
        precision: Of the arithmetic.
    """
    from cluit.apps.web import app
    from cluit.apps.web_studio import Limits

    app(
        model, gallery=gallery, data=data, index=index, host=host, port=port,
        limits=Limits(megabytes, megapixels), device=device, precision=precision,
    )  # fmt: skip
