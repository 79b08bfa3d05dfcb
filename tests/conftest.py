"""What all tests share: one thread, a known random state, the photographs where they are."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hub_server import Hub, running_hub
from tiny_methods import built, config

from cluit.apps.cli import main
from cluit.export import weights
from cluit.export.graph import Exported

ROOT = Path(__file__).parents[1]
torch.set_num_threads(1)  # small tensors on few cores: one thread is far faster than several


@pytest.fixture(autouse=True)
def known_random_state() -> Iterator[None]:
    """The same random numbers in every test, in whatever order they run, and none left changed after it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved model of 32 px that has learned nothing."""
    folder = tmp_path_factory.mktemp("tiny_model")
    with torch.random.fork_rng():
        translator = built("cluit").translator
    weights.save(folder, translator, {"method": "cluit", "config": dataclasses.asdict(config("cluit"))})
    return folder


@pytest.fixture(scope="session")
def onnx_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model's ONNX graphs. They take long, and are made once for all of pytest's processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out = shared / "onnx"
    with FileLock(shared / "onnx.lock"):
        if not out.exists():
            main(["export", str(tiny_model), "--out", str(out)])
    return out


@pytest.fixture(scope="session")
def exported_before(onnx_folder: Path) -> Callable[..., dict[str, Exported]]:
    """In the place of `export_graphs`, for that model: its graphs, copied."""

    def export_graphs(translator: object, card: object, folder: Path, to: str) -> dict[str, Exported]:
        assert to == "onnx"
        shutil.copytree(onnx_folder, folder, dirs_exist_ok=True)
        graphs = json.loads((folder / weights.CARD).read_text("utf-8"))["export"]["graphs"]
        return {name: Exported(**graph) for name, graph in graphs.items()}

    return export_graphs


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server in the place of the Hugging Face Hub, with an empty cache and nobody logged in."""
    from huggingface_hub import constants

    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which talks to a server of its own
        yield server


@pytest.fixture(scope="session")
def faces64() -> Path:
    """Real photographs at 64 px: {train,test}/{cat,human}; beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data" / "faces64"
    if not folder.is_dir():
        pytest.skip("faces64 is not beside the project (../shared/data/faces64)")
    return folder
