"""What all tests share: one thread, a known random state, the photographs where they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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
def faces64() -> Path:
    """Real photographs at 64 px, in train/ and test/, each with cat/ and human/; beside the project, never in it."""
    folder = ROOT.parent / "shared" / "data" / "faces64"
    if not folder.is_dir():
        pytest.skip("faces64 is not beside the project (../shared/data/faces64)")
    return folder
