"""ONNX graphs in 8 bits: weights for each output channel, activations by ranges seen in pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluit.core.extras import needs
from cluit.core.types import Translator
from cluit.export.graph import TOLERANCE, Exported, check, describe, quiet, trials

AT_ONCE = 16  # pictures

Batches = Sequence[tuple[Tensor, ...]]
"""Inputs of a graph."""


def quantise_graphs(
    translator: Translator,
    card: Mapping[str, Any],
    plain: Path,
    graphs: Mapping[str, Exported],
    folder: Path,
    pictures: Tensor,
) -> dict[str, Exported]:
    """Write the float32 ``graphs`` in ``plain`` and their card into ``folder`` in int8.

    pictures: (N, 3, S, S) in [-1, 1], like those that the model will meet.
    """
    batches, smaller = calibration(translator, pictures), {}
    for name, graph in graphs.items():
        quantise(plain / graph.file, folder / graph.file, graph.inputs, batches[name])
        own, other, *_ = trials(translator, name)
        met = [own] if "exactly" in graph.sides else [own, other]
        difference = check(translator, name, folder / graph.file, met, TOLERANCE["int8"])
        smaller[name] = replace(graph, max_difference=difference)
    describe(translator, card, folder, smaller, {"to": "onnx", "precision": "int8"})
    return smaller


def quantise(plain: Path, path: Path, inputs: Sequence[str], batches: Batches) -> None:
    """Write the float32 graph ``plain`` into ``path`` with its convolutions in int8 (static, QDQ).

    batches: of its ``inputs``, by which activations get the ranges that 8 bits are spread over.

    Convolutions of 1×1 and linear layers stay in float32: they meet the three colours and the style, and in
    8 bits would save little and cost much.
    """
    library = needs("onnxruntime.quantization", "an int8 export", "onnx")
    preparing = needs("onnxruntime.quantization.shape_inference", "an int8 export", "onnx")
    onnx = needs("onnx", "an int8 export", "onnx")
    with quiet():
        # folds constants and batch norms into the convolutions, whose weights alone can be quantised
        preparing.quant_pre_process(plain, path, skip_symbolic_shape=True)
        library.quantize_static(
            path,
            path,
            Reader(inputs, batches),
            quant_format=library.QuantFormat.QDQ,
            per_channel=True,
            activation_type=library.QuantType.QUInt8,
            weight_type=library.QuantType.QInt8,
            nodes_to_quantize=spatial_convolutions(onnx.load(path)),
        )


def spatial_convolutions(model: Any) -> list[str]:
    """Names of the convolutions, transposed or not, whose kernel has more than one place."""
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose") and max(shapes.get(node.input[1], (1, 1, 1))[2:]) > 1
    ]


class Reader:
    """Batches as onnxruntime's calibration asks for them: one by one, by the names of a graph's inputs."""

    def __init__(self, inputs: Sequence[str], batches: Batches) -> None:
        self.rows = (dict(zip(inputs, (one.numpy() for one in row), strict=True)) for row in batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.rows

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rows, None)


@torch.no_grad()
def calibration(translator: Translator, pictures: Tensor) -> dict[str, Batches]:
    """Batches for each graph: every picture as a source and as the reference of another.

    pictures: (N, 3, S, S) in [-1, 1]. Domains take turns, where there are any.
    """
    domains = (torch.arange(len(pictures)) % len(translator.domains),) if translator.domains else ()
    references = list(zip(*(one.split(AT_ONCE) for one in (pictures, *domains)), strict=True))
    sources = [(batch,) for batch in pictures.split(AT_ONCE)]
    structures = torch.cat([translator.encode_structure(*batch) for batch in sources])
    styles = torch.cat([translator.encode_style(*batch) for batch in references]).roll(1, 0)
    pairs = list(zip(structures.split(AT_ONCE), styles.split(AT_ONCE), strict=True))
    return {"style": references, "structure": sources, "decode": pairs}
