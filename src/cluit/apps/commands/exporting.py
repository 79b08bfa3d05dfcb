"""Take a model to where cluit is not."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from cluit.apps.commands.types import Model, Out


def export(
    model: Model,
    *,
    to: Literal["onnx", "torchscript", "torch-export"] = "onnx",
    out: Out,
    half: bool = False,
    int8: bool = False,
    calibrate: Annotated[Path | None, arg(metavar="DIR")] = None,
) -> None:
    """Write a model as three graphs that run without cluit: style, structure and decode.

    Args:
        model: A run, a saved model's folder, hf://user/name, or the word portraits: the shipped one.
        to: What reads the graphs. translate and app run from onnx too.
        out: A new folder.
        half: Weights and arithmetic in float16; measured beside float32.
        int8: Convolutions in 8 bits, for onnx; measured beside float32.
        calibrate: Pictures by which int8 gets its ranges, like those that the model will meet.
    """
    from cluit.apps.export import export

    export(model, to=to, out=out, half=half, int8=int8, calibrate=calibrate)


def bench_export(model: Model, *, calibrate: Annotated[Path, arg(metavar="DIR")]) -> None:
    """Time a model's translations in PyTorch and from every kind of export, and what each changes in them.

    Args:
        model: A run, a saved model's folder, or the word portraits.
        calibrate: Pictures like those that the model will meet: some calibrate int8, others are painted.
    """
    from cluit.apps.bench_export import bench_export

    bench_export(model, calibrate)
