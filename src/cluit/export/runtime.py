"""An exported ONNX folder in use: a translator whose three doors are graphs that onnxruntime runs.

The folder: ``style.onnx``, ``structure.onnx``, ``decode.onnx`` and ``model.json``. Nothing in it is executed
but the graphs' own arithmetic.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.files import atomic_file
from cluit.core.release import release
from cluit.core.types import Translator
from cluit.core.weights import Format

GRAPHS = {
    "style": (("reference", "domain"), "style"),
    "structure": (("source",), "structure"),
    "decode": (("structure", "style"), "picture"),
}
"""The inputs and the output of each graph; ``domain`` is missing where a model tells none apart."""

PIXELS = "RGB, channels first, float32 in [-1, 1]: byte / 127.5 - 1"


class GraphFormat(Format):
    """Of a folder of ONNX graphs: known by the last of them and its card."""

    @property
    def weights(self) -> str:
        return "decode.onnx"

    @property
    def card(self) -> str:
        return "model.json"


EXPORTED = GraphFormat("exported model", version=1)


def write_card(
    folder: Path, card: Mapping[str, Any], translator: Translator, export: Mapping[str, Any]
) -> None:
    """Write ``model.json``: the model's own card, and how to use its graphs."""
    use = {"image_size": translator.image_size, "domains": list(translator.domains), "pixels": PIXELS}
    versions = {"format_version": EXPORTED.version, "cluit_version": release()}
    whole = {**card, **versions, "dtype": export["precision"], "export": {**use, **export}}
    with atomic_file(folder / EXPORTED.card) as file:
        file.write((json.dumps(whole, indent=2, allow_nan=False) + "\n").encode())


def is_exported(folder: Path) -> bool:
    """Whether a folder holds ONNX graphs and their card."""
    return (folder / EXPORTED.weights).is_file() and (folder / EXPORTED.card).is_file()


def load(folder: Path) -> tuple[Translator, dict[str, Any]]:
    """The translator of an exported folder, and its card. UserError for what is none."""
    card = EXPORTED.read_card(folder)
    export = card.get("export")
    size = export.get("image_size") if isinstance(export, dict) else None
    domains = export.get("domains") if isinstance(export, dict) else None
    if type(size) is not int or size < 1 or not is_texts(domains):
        raise UserError(
            f"{folder / EXPORTED.card} does not say the image_size and the domains of an exported model; "
            "export it again"
        )
    graphs = {name: open_onnx(folder / f"{name}.onnx") for name in GRAPHS}
    return GraphTranslator(graphs, size, domains), card


def is_texts(values: object) -> TypeGuard[list[str]]:
    """Whether that is a list of texts."""
    return isinstance(values, list) and all(isinstance(one, str) for one in values)


class GraphTranslator(Translator):
    """Three graphs as a translator. It has no weights for torch."""

    def __init__(
        self, graphs: Mapping[str, Callable[..., Tensor]], image_size: int, domains: Sequence[str]
    ) -> None:
        """graphs: what each of `GRAPHS` computes."""
        super().__init__()
        self.graphs, self.image_size, self.domains = dict(graphs), image_size, tuple(domains)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.graphs["structure"](source)

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        """UserError where a domain is needed and none is given."""
        if not self.domains:
            return self.graphs["style"](reference)
        if domain is None:
            raise UserError(
                f"the model tells apart the domains {', '.join(self.domains)}; say of which one each "
                "reference is"
            )
        return self.graphs["style"](reference, domain)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.graphs["decode"](structure, style)


def open_onnx(path: Path) -> Callable[..., Tensor]:
    """What a graph computes, of tensors; on the CPU, with as many threads as torch has now.

    UserError where there is no such file, or none that is one of cluit's graphs.
    """
    runtime = needs("onnxruntime", "an exported ONNX model", "onnx")
    if not path.is_file():
        raise UserError(f"there is no {path}; export the model again")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class in common
        raise UserError(
            f"{path} is no ONNX graph that onnxruntime can run; export the model again"
        ) from error
    names = [one.name for one in session.get_inputs()]
    if names != [one for one in GRAPHS[path.stem][0] if one != "domain" or one in names]:
        raise UserError(f"{path} takes {', '.join(names)}, so it is not cluit's; export the model again")

    def run(*inputs: Tensor) -> Tensor:
        arrays = (one.detach().cpu().contiguous().numpy() for one in inputs)
        (answer,) = session.run(None, dict(zip(names, arrays, strict=True)))
        return torch.from_numpy(answer).to(inputs[0].device)

    return run
