"""A translator as three graphs that run without cluit: ONNX, TorchScript or torch.export.

They mirror the translator's door, so that one source meets many styles without doing either half twice.
"""

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.images import to_unit
from cluit.core.types import Translator
from cluit.data.portraits import SIZES, Portraits
from cluit.export.runtime import GRAPHS, open_onnx, write_card
from cluit.nn.resample import written

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "torch-export": ".pt2"}
"""What a graph can be exported to, and what its file's name ends with."""

DOORS = {"style": "encode_style", "structure": "encode_structure", "decode": "decode"}
TOLERANCE = {"float32": 1e-3, "float16": 5e-2, "int8": math.inf}
"""How far a graph's answers may lie from PyTorch's, in units of the largest of these or of 1. What int8 may
cost is judged by its pictures."""

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Exported:
    """What there is to know of one graph."""

    file: str
    inputs: tuple[str, ...]
    output: str
    sides: Mapping[str, int]
    """Heights and widths that it takes: ``exactly`` one, or ``multiples_of`` a number, ``at_least`` another.
    Of `decode`, those of the structure."""
    max_difference: float
    """The largest to PyTorch's answer on drawn portraits."""


class Graph(nn.Module):
    """One of a translator's doors. Floats are float32 outside, whatever type its weights have.

    Weights that the answer does not depend on become one zero each, so that files hold only what they need.
    """

    def __init__(self, translator: Translator, name: str, inputs: Inputs, dtype: torch.dtype) -> None:
        super().__init__()
        self.translator = copy.deepcopy(translator).requires_grad_(True)
        self.door, self.dtype = DOORS[name], torch.float32
        self.eval()
        weights = list(self.translator.parameters())
        slopes = torch.autograd.grad(self(*inputs).sum(), weights, allow_unused=True)
        self.translator.requires_grad_(False).to(dtype)
        self.dtype = dtype
        for weight, slope in zip(weights, slopes, strict=True):
            if slope is None:
                weight.data = weight.new_zeros(()).expand_as(weight)

    def forward(self, *inputs: Tensor) -> Tensor:
        cast = (one.to(self.dtype) if one.is_floating_point() else one for one in inputs)
        with written():  # what pays on this machine need not on another
            return getattr(self.translator, self.door)(*cast).float()


def export_graphs(
    translator: Translator, card: Mapping[str, Any], folder: Path, to: str, *, half: bool = False
) -> dict[str, Exported]:
    """Write the three graphs of ``translator``, on the CPU in float32, and their card into ``folder``.

    card: what is known of the model. to: one of `SUFFIXES`. half: weights and arithmetic in float16.
    UserError for another target, a missing extra, and a graph that differs from PyTorch beyond `TOLERANCE`.
    """
    if to not in SUFFIXES:
        raise UserError(f"a model cannot be exported to {to!r}; choose {', '.join(SUFFIXES)}")
    for module in ("onnx", "onnxscript", "onnxruntime") if to == "onnx" else ():
        needs(module, "an export to ONNX", "onnx")
    precision = "float16" if half else "float32"
    graphs = {}
    for name in DOORS:
        path = folder / f"{name}{SUFFIXES[to]}"
        sides, difference = write_checked(translator, name, path, precision)
        graphs[name] = Exported(path.name, input_names(translator, name), GRAPHS[name][1], sides, difference)
    describe(translator, card, folder, graphs, {"to": to, "precision": precision})
    return graphs


def describe(
    translator: Translator,
    card: Mapping[str, Any],
    folder: Path,
    graphs: Mapping[str, Exported],
    form: Mapping[str, str],
) -> None:
    """Write the card of a folder of graphs. form: what they were exported to, and in which precision."""
    write_card(
        folder, card, translator, {**form, "graphs": {name: asdict(one) for name, one in graphs.items()}}
    )


def input_names(translator: Translator, name: str) -> tuple[str, ...]:
    """A graph's inputs, in order. Only where a model tells domains apart, its style has to be told one."""
    return tuple(one for one in GRAPHS[name][0] if one != "domain" or translator.domains)


def write_checked(
    translator: Translator, name: str, path: Path, precision: str
) -> tuple[dict[str, int], float]:
    """Write one graph, for pictures of any size if it can be; the sides that it takes, and its difference."""
    own, other, step, least = trials(translator, name)
    graph = Graph(translator, name, own, getattr(torch, precision))
    names = input_names(translator, name)
    fixed = {"exactly": least}
    try:
        graph(*other)
        write(graph, own, names, GRAPHS[name][1], path, any_size=True)
        difference = check(translator, name, path, [own, other], TOLERANCE[precision])
        return {"multiples_of": step, "at_least": least}, difference
    except Exception:  # a network of one size shows it here or there: it fails itself, or its guards do
        write(graph, own, names, GRAPHS[name][1], path, any_size=False)
        return fixed, check(translator, name, path, [own], TOLERANCE[precision])


@torch.no_grad()
def trials(translator: Translator, name: str) -> tuple[Inputs, Inputs, int, int]:
    """Inputs of a graph at the model's size and at another, the step between its sides, and the least."""
    size = translator.image_size
    pictures = portraits(4, size)
    structure = translator.encode_structure(pictures)
    step = size // structure.shape[-1]
    larger = portraits(1, size + step, size + 3 * step)
    told = (torch.arange(4) % len(translator.domains),) if translator.domains else ()
    if name == "structure":
        return (pictures,), (larger,), step, size
    if name == "style":
        return (pictures, *told), (larger, *(one[:1] for one in told)), step, size
    style = translator.encode_style(pictures, *told).roll(1, 0)
    return (structure, style), (translator.encode_structure(larger), style[:1]), 1, structure.shape[-1]


def portraits(count: int, height: int, width: int | None = None) -> Tensor:
    """(count, 3, height, width) in [-1, 1]: drawn animals, as square as is asked for."""
    drawn = next((size for size in SIZES if size >= height), SIZES[-1])
    pictures = to_unit(Portraits(count, drawn, split="test").batch(range(count)))
    sides = (height, width or height)
    return F.interpolate(pictures, sides, mode="bilinear") if sides != (drawn, drawn) else pictures


def write(
    graph: Graph, inputs: Inputs, names: Sequence[str], output: str, path: Path, *, any_size: bool
) -> None:
    """Trace the graph on ``inputs`` into a file, for batches of any size, of pictures of any size or one."""
    with quiet():
        if path.suffix == SUFFIXES["torchscript"]:
            torch.jit.trace(graph, inputs, check_trace=False).save(str(path))  # of any size by itself
            return
        free = torch.export.Dim.DYNAMIC
        shapes = [dict.fromkeys((0, 2, 3) if any_size and one.ndim == 4 else (0,), free) for one in inputs]
        program = torch.export.export(graph, inputs, dynamic_shapes=(tuple(shapes),), strict=False)
        forget_places(program)
        if path.suffix == SUFFIXES["torch-export"]:
            torch.export.save(program, path)
        else:
            write_onnx(program, inputs, names, output, path)


def forget_places(program: torch.export.ExportedProgram) -> None:
    """Where this machine keeps its files is nobody's business: out with the traces of the program's nodes."""
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)


def write_onnx(
    program: torch.export.ExportedProgram, inputs: Inputs, names: Sequence[str], output: str, path: Path
) -> None:
    """The program as one ONNX file, with what each tensor is called."""
    converted = torch.onnx.export(
        program, inputs, dynamo=True, verbose=False, input_names=list(names), output_names=[output]
    )
    assert converted is not None  # without a file's name
    for node in converted.model.graph.all_nodes():
        node.metadata_props.clear()  # the exporter's notes, larger than the weights of a small network
    converted.save(path, external_data=False)


@torch.no_grad()
def check(translator: Translator, name: str, path: Path, trials: Sequence[Inputs], tolerance: float) -> float:
    """The largest difference of a file's answers to PyTorch's, also for a batch of one. UserError beyond."""
    run, largest = open_graph(path), 0.0
    for inputs in (*trials, tuple(one[:1] for one in trials[0])):
        expected = getattr(translator, DOORS[name])(*inputs)
        difference = (run(*inputs) - expected).abs().max().item()
        if not difference <= tolerance * max(1.0, expected.abs().max().item()):  # nor what is no number
            raise UserError(
                f"the exported {name} differs from PyTorch by {difference:.1e}, more than {tolerance:.0e} of "
                "its largest answer; export it in another precision or to another target"
            )
        largest = max(largest, difference)
    return largest


def open_graph(path: Path) -> Callable[..., Tensor]:
    """What a file of any target computes. Only for files of one's own: TorchScript's and torch's are code."""
    if path.suffix == SUFFIXES["onnx"]:
        return open_onnx(path)
    with quiet():
        if path.suffix == SUFFIXES["torchscript"]:
            return torch.jit.load(str(path))
        return torch.export.load(path).module()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' many words on what they do and on what they will one day no longer do."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
