import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_methods import built
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.export import runtime
from cluit.export.graph import (
    Exported,
    check,
    export_graphs,
    open_graph,
    portraits,
    trials,
    write_checked,
)
from cluit.export.quantise import quantise_graphs
from cluit.methods import CONFIGS
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.networks import CluitTranslator

every_method = pytest.mark.parametrize("name", CONFIGS)
Folders = Callable[[str], tuple[Path, dict[str, Exported]]]


def translator_of(name: str) -> Translator:
    return built(name).translator.eval().requires_grad_(False)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def told(translator: Translator, count: int) -> tuple[Tensor, ...]:
    return (torch.arange(count) % 2,) if translator.domains else ()


@pytest.fixture(scope="module")
def exported(
    exported_before: Callable[..., dict[str, Exported]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Folders:
    """A method's ONNX folder. Each is made once, and where it is asked for: an export to ONNX takes long."""

    @functools.cache
    def of(name: str) -> tuple[Path, dict[str, Exported]]:
        folder = tmp_path_factory.mktemp(name)
        export = exported_before if name == "cluit" else export_graphs
        with torch.random.fork_rng():
            return folder, export(translator_of(name), {"method": name}, folder, "onnx")

    return of


@pytest.fixture(scope="module")
def torch_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Swapping Autoencoder's structure as a .pt2 file."""
    path = tmp_path_factory.mktemp("torch_export") / "structure.pt2"
    write_checked(translator_of("swapae"), "structure", path, "float32")
    return path


@pytest.mark.parametrize("count", [1, 5])
@every_method
def test_every_method_paints_the_same_from_onnx_in_batches_of_any_size(
    name: str, count: int, exported: Folders
) -> None:
    translator = translator_of(name)
    loaded, card = runtime.load(exported(name)[0])
    sources, references = portraits(2 * count, 32).chunk(2)
    assert (loaded.image_size, loaded.domains) == (32, translator.domains)
    assert card["method"] == name
    style = loaded.encode_style(references, *told(translator, count))
    assert_same(style, translator.encode_style(references, *told(translator, count)))
    assert_same(loaded.translate(sources, style), translator.translate(sources, style))


@every_method
def test_sources_may_have_any_size_that_the_card_allows(name: str, exported: Folders) -> None:
    translator = translator_of(name)
    loaded, card = runtime.load(exported(name)[0])
    sides = card["export"]["graphs"]["structure"]["sides"]
    height, width = sides["at_least"] + 2 * sides["multiples_of"], sides["at_least"]
    source = portraits(2, height, width)
    style = translator.encode_style(portraits(2, 32), *told(translator, 2))
    painted = loaded.translate(source, style)
    assert painted.shape == source.shape
    assert_same(painted, translator.translate(source, style))


def test_references_may_have_any_size_where_their_encoder_does(
    exported: Folders,
) -> None:
    """CLUIT's and StarGAN v2's end in a layer that sees 4×4 places, TUNIT's in a mean over all there are."""
    for name, free in {"cluit": False, "starganv2": False, "tunit": True}.items():
        sides = runtime.load(exported(name)[0])[1]["export"]["graphs"]["style"]["sides"]
        assert sides == ({"multiples_of": 4, "at_least": 32} if free else {"exactly": 32})
    loaded, _ = runtime.load(exported("tunit")[0])
    assert_same(
        loaded.encode_style(portraits(1, 64, 40)), translator_of("tunit").encode_style(portraits(1, 64, 40))
    )


@every_method
def test_the_stated_difference_is_that_of_the_file(name: str, exported: Folders) -> None:
    translator = translator_of(name)
    folder, graphs = exported(name)
    card = json.loads((folder / "model.json").read_text())["export"]["graphs"]
    for door, graph in graphs.items():
        own, other, *_ = trials(translator, door)
        met = [own] if "exactly" in graph.sides else [own, other]
        found = check(translator, door, folder / graph.file, met, tolerance=1e-3)
        assert card[door]["max_difference"] == pytest.approx(found, rel=1, abs=1e-8)


def test_files_hold_their_own_weights_and_no_trace_of_this_machine(
    exported: Folders, torch_export: Path
) -> None:
    for path in [torch_export, *exported("swapae")[0].iterdir()]:
        assert str(Path(__file__).parents[2]).encode() not in path.read_bytes(), path
    translator = translator_of("swapae")
    generator, encoder = (weights_of(translator, part) for part in ("generator", "encoder"))
    assert (exported("swapae")[0] / "decode.onnx").stat().st_size < 4 * generator + 100_000
    assert torch_export.stat().st_size < 4 * encoder


def weights_of(translator: Translator, network: str) -> int:
    return sum(one.numel() for name, one in translator.named_parameters() if name.startswith(network))


def test_torch_export_answers_the_same_at_any_size(torch_export: Path) -> None:
    source = portraits(3, 36, 48)
    expected = translator_of("swapae").encode_structure(source)
    assert_same(open_graph(torch_export)(source), expected)


@every_method
def test_every_method_exports_to_torchscript(name: str, tmp_path: Path) -> None:
    translator = translator_of(name)
    graphs = export_graphs(translator, {}, tmp_path, "torchscript")
    assert all(graph.max_difference < 1e-4 for graph in graphs.values())
    structure = open_graph(tmp_path / "structure.pt")(portraits(3, 32))
    assert_same(structure, translator.encode_structure(portraits(3, 32)))


@every_method
def test_every_method_exports_to_torch_export(name: str, tmp_path: Path) -> None:
    translator = translator_of(name)
    (_, other, *_), path = trials(translator, "decode"), tmp_path / "decode.pt2"
    sides, difference = write_checked(translator, "decode", path, "float32")
    assert "exactly" not in sides
    assert difference < 1e-4
    assert_same(open_graph(path)(*other), translator.decode(*other))


def test_half_precision_halves_the_weights_and_answers_nearly_the_same(
    exported: Folders, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, difference = write_checked(translator_of("cluit"), "structure", tmp_path / "structure.onnx", "float16")
    assert 0 < difference < 0.05
    whole, half = (onnx.load(folder / "structure.onnx") for folder in (exported("cluit")[0], tmp_path))
    assert 2 * weight_bytes(half) == pytest.approx(weight_bytes(whole), rel=0.01)
    assert capfd.readouterr() == ("", "")  # of the many words of the exporters


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(onnx.numpy_helper.to_array(one).nbytes for one in model.graph.initializer)


@pytest.mark.parametrize("name", ["cluit", "swapae"])
def test_int8_turns_spatial_convolutions_channel_by_channel_and_nothing_else(
    name: str, exported: Folders, tmp_path: Path
) -> None:
    folder, graphs = exported(name)
    translator, pictures = translator_of(name), portraits(48, 32)
    smaller = quantise_graphs(translator, {}, folder, graphs, tmp_path, pictures)
    assert {door: graph.sides for door, graph in smaller.items()} == {
        door: graph.sides for door, graph in graphs.items()
    }
    for graph in smaller.values():
        for weight, scales in convolutions(onnx.load(tmp_path / graph.file)):
            spatial = max(weight.shape[2:]) > 1
            assert weight.dtype == (np.int8 if spatial else np.float32)
            assert len(scales) in ((weight.shape[0], weight.shape[1]) if spatial else (0,))
    loaded, card = runtime.load(tmp_path)
    assert card["export"]["precision"] == "int8"
    style = translator.encode_style(pictures[:8])
    painted, expected = (one.translate(pictures[8:16], style) for one in (loaded, translator))
    assert 0 < (painted - expected).abs().mean() < 0.05 * expected.abs().max()


def convolutions(model: onnx.ModelProto) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each convolution's weight as it is stored, and the scales of its channels, none where it has none."""
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    widened = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            if node.input[1] in widened:
                weight, scales, *_ = widened[node.input[1]].input
                yield stored[weight], stored[scales]
            else:
                yield stored[node.input[1]], np.empty(0)


class Restless(CluitTranslator):
    """Its structures depend on how often they were asked for: no graph can follow."""

    calls = 0

    def encode_structure(self, source: Tensor) -> Tensor:
        self.calls += 1
        return super().encode_structure(source) * self.calls


def test_a_graph_that_answers_differently_is_refused(tmp_path: Path) -> None:
    restless = Restless(CluitConfig(image_size=32, width=4)).eval().requires_grad_(False)
    with pytest.raises(UserError, match=r"the exported structure differs from PyTorch by \d.* more than"):
        export_graphs(restless, {}, tmp_path, "torchscript")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    translator = translator_of("cluit")
    next(translator.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="differs from PyTorch by nan"):
        export_graphs(translator, {}, tmp_path, "torchscript")


def test_an_unknown_target_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exported to 'tflite'; choose onnx, torchscript, torch-export"):
        export_graphs(translator_of("cluit"), {}, tmp_path, "tflite")
