"""`cluit export`: a model as graphs that run without cluit, and what smaller numbers gain and cost."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cluit.apps.api import model_folder
from cluit.apps.export_cost import Paint, as_cluit_does, costs, painting, show
from cluit.apps.pictures import shuffled
from cluit.core.errors import UserError
from cluit.core.files import whole_folder
from cluit.core.images import to_unit
from cluit.core.types import Translator
from cluit.data.folder import ImageFolder
from cluit.export import weights
from cluit.export.graph import Exported, export_graphs, open_graph, portraits
from cluit.export.quantise import quantise_graphs
from cluit.export.runtime import GraphTranslator
from cluit.methods import CONFIGS

JUDGED, CALIBRATED = 32, 128
"""Pictures at most that the loss is measured on, and others by which int8 gets its ranges."""
FEWEST = 8
WORST = 16.0
"""Levels of 255 by which a smaller graph's pictures may differ on average."""


def export(
    model: str, *, to: str, out: Path, half: bool = False, int8: bool = False, calibrate: Path | None = None
) -> None:
    """Write the graphs of ``model`` and their card into ``out``, a new folder, and print how exact they are.

    to: onnx, torchscript or torch-export. half: in float16. int8: in 8 bits, for onnx, by the ranges that
    pictures of the folder ``calibrate`` take. With either, its speed and loss are measured beside float32.

    UserError, with nothing left behind, for what cannot be exported so, and where it would differ too much.
    """
    check_options(to, half, int8, calibrate)
    translator, card = weights.load(model_folder(model), CONFIGS)
    judged, seen = pictures_for(translator, calibrate)
    with whole_folder(out.expanduser()) as folder, tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) if half or int8 else folder
        graphs = export_graphs(translator, card, plain, to)
        if half:
            graphs = export_graphs(translator, card, folder, to, half=True)
        if seen is not None:
            graphs = quantise_graphs(translator, card, plain, graphs, folder, seen)
        for name, graph in graphs.items():
            print(described(name, graph))
        if half or int8:
            smaller = "float16" if half else "int8"
            compare(translator, judged, {f"{to} float32": plain, f"{to} {smaller}": folder})
    print(f"{to} graphs and model.json in {out}")


def check_options(to: str, half: bool, int8: bool, calibrate: Path | None) -> None:
    """UserError for options that contradict each other."""
    if half and int8:
        raise UserError("a graph is in float16 or in int8; choose one of --half and --int8")
    if int8 and to != "onnx":
        raise UserError(f"int8 is for onnx, not {to}; add --to onnx or leave --int8 out")
    if int8 != (calibrate is not None):
        raise UserError("int8 gets its ranges from pictures; name a folder of them: --int8 --calibrate DIR")


def pictures_for(translator: Translator, folder: Path | None) -> tuple[Tensor, Tensor | None]:
    """Pictures to measure the loss on, and others to calibrate with, (N, 3, S, S) in [-1, 1].

    Of a folder at most a quarter are measured on. Without one these are drawn portraits, and none calibrate.
    """
    size = translator.image_size
    if folder is None:
        return portraits(JUDGED, size), None
    files = ImageFolder(folder, size, minimum=FEWEST)
    order = shuffled(len(files), "calibration")
    judged = min(JUDGED, len(order) // 4)
    chosen = to_unit(files.batch(order[: judged + CALIBRATED]))
    return chosen[:judged], chosen[judged:]


def described(name: str, graph: Exported) -> str:
    """One line on a graph."""
    sides = graph.sides
    size = (
        f"{sides['exactly']} px" if "exactly" in sides
        else f"sides in multiples of {sides['multiples_of']} from {sides['at_least']}"
    )  # fmt: skip
    ways = f"{', '.join(graph.inputs)} -> {graph.output}"
    return f"{name:9} {ways:31} {size:31} largest difference to PyTorch {graph.max_difference:.1e}"


def compare(translator: Translator, pictures: Tensor, folders: Mapping[str, Path]) -> None:
    """Print what each folder's graphs cost beside PyTorch. UserError where one paints other pictures."""
    rows: dict[str, Paint] = {"PyTorch float32": as_cluit_does(translator)}
    rows |= {name: painting(opened(translator, folder)) for name, folder in folders.items()}
    measured = costs(rows, pictures, len(translator.domains))
    show(measured)
    for cost in measured:
        if not cost.mean <= WORST:
            raise UserError(
                f"{cost.name} changes pictures by {cost.mean:.1f} levels of 255 on average, more than "
                f"{WORST:g}; export in float32, or calibrate with pictures like those it was trained on"
            )


def opened(translator: Translator, folder: Path) -> GraphTranslator:
    """The graphs of a folder, of whatever target, in use."""
    graphs = {path.stem: open_graph(path) for path in folder.iterdir() if path.suffix != ".json"}
    return GraphTranslator(graphs, translator.image_size, translator.domains)
