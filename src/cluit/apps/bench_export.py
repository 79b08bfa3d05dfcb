"""`cluit bench export`: a model in PyTorch and from every kind of export, side by side."""

import tempfile
from pathlib import Path

import torch

from cluit.apps.api import model_folder
from cluit.apps.export import opened, pictures_for
from cluit.apps.export_cost import Paint, as_cluit_does, costs, painting, show
from cluit.core.machine import has_fast_bfloat16
from cluit.export import weights
from cluit.export.graph import Exported, export_graphs
from cluit.export.quantise import quantise_graphs
from cluit.methods import CONFIGS

FORMS = ("torchscript float32", "torch-export float32", "onnx float32", "onnx float16", "onnx int8")


def bench_export(model: str, calibrate: Path) -> None:
    """Print what translations of pictures in ``calibrate`` cost; others of them calibrate int8."""
    translator, card = weights.load(model_folder(model), CONFIGS)
    judged, seen = pictures_for(translator, calibrate)
    assert seen is not None  # of a folder
    forms: dict[str, Paint] = {"PyTorch float32": as_cluit_does(translator)}
    if has_fast_bfloat16(torch.device("cpu")):
        forms["PyTorch bfloat16"] = as_cluit_does(translator, torch.bfloat16)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch) / name for name in FORMS}
        graphs: dict[str, dict[str, Exported]] = {}
        for name, folder in folders.items():
            folder.mkdir()
            to, precision = name.split()
            if precision == "int8":
                plain = "onnx float32"
                quantise_graphs(translator, card, folders[plain], graphs[plain], folder, seen)
            else:
                graphs[name] = export_graphs(translator, card, folder, to, half=precision == "float16")
            forms[name] = painting(opened(translator, folder))
        show(costs(forms, judged, len(translator.domains)))
