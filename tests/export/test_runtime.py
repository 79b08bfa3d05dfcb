import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from cluit.core.errors import UserError
from cluit.export import runtime

CARD = {"format_version": 1, "export": {"image_size": 32, "domains": []}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Graphs as simple as can be: the style is the reference, the structure the source, the picture both."""
    write(tmp_path / "style.onnx", ["reference"], "style", "Identity")
    write(tmp_path / "structure.onnx", ["source"], "structure", "Identity")
    write(tmp_path / "decode.onnx", ["structure", "style"], "picture", "Add")
    (tmp_path / "model.json").write_text(json.dumps(CARD))
    return tmp_path


def write(path: Path, inputs: list[str], output: str, operation: str) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in [*inputs, output]]
    node = helper.make_node(operation, inputs, [output])
    graph = helper.make_graph([node], path.stem, tensors[:-1], tensors[-1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def test_the_three_doors_are_the_three_graphs(folder: Path) -> None:
    translator, card = runtime.load(folder)
    assert card == CARD
    source, style = torch.tensor([1.0, 2.0]), translator.encode_style(torch.tensor([10.0, 20.0]))
    assert translator.translate(source, style).tolist() == [11.0, 22.0]


def test_a_model_with_domains_wants_to_be_told_one(folder: Path) -> None:
    write(folder / "style.onnx", ["reference", "domain"], "style", "Add")
    (folder / "model.json").write_text(json.dumps({**CARD, "export": {"image_size": 32, "domains": ["cat"]}}))
    translator, _ = runtime.load(folder)
    assert translator.encode_style(torch.ones(2), torch.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(UserError, match="tells apart the domains cat; say of which"):
        translator.encode_style(torch.ones(2))


def test_a_missing_graph_is_named(folder: Path) -> None:
    (folder / "style.onnx").unlink()
    with pytest.raises(UserError, match=r"there is no .*style\.onnx; export the model again"):
        runtime.load(folder)


def test_a_damaged_graph_is_named(folder: Path) -> None:
    (folder / "structure.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"structure\.onnx is no ONNX graph that onnxruntime can run"):
        runtime.load(folder)


def test_a_strange_graph_is_refused(folder: Path) -> None:
    shutil.copy(folder / "decode.onnx", folder / "structure.onnx")
    with pytest.raises(UserError, match="takes structure, style, so it is not cluit's"):
        runtime.load(folder)


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ({"format_version": 1}, "does not say the image_size"),
        ({"format_version": 1, "export": {"image_size": "32", "domains": []}}, "does not say the image_size"),
        ({"format_version": 1, "export": {"image_size": 32, "domains": [1]}}, "does not say the image_size"),
        ({**CARD, "format_version": 99}, "newer than this cluit knows"),
        ([], "does not describe an exported model"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(folder: Path, card: object, complaint: str) -> None:
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=complaint):
        runtime.load(folder)


def test_graphs_take_as_many_threads_as_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = import_module("onnxruntime")
    session, asked = onnxruntime.InferenceSession, list[int]()

    def watched(path: Path, options: Any, **settings: Any) -> Any:
        asked.append(options.intra_op_num_threads)
        return session(path, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    runtime.load(folder)
    assert asked == [torch.get_num_threads()] * 3


def test_a_missing_onnxruntime_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime.*pip install 'cluit\[onnx\]'"):
        runtime.load(folder)
