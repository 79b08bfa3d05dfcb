"""What is said of the package in several places agrees; `make package` tries what is built."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ONLY_FOR_USERS = {"umap", "video"}
"""Extras that tests do without: what needs them is tried with a stand-in, or says that they are missing."""


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == changes[0] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"


def test_the_citation_names_the_paper() -> None:
    (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    assert paper["title"] == "Contrastive Learning for Unsupervised Image-to-Image Translation"
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"].keys() - ONLY_FOR_USERS - {"dev"}))
def test_development_has_what_users_may_ask_for(extra: str) -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(extras[extra]) <= set(extras["dev"])


def test_every_extra_that_a_message_names_exists() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"\bneeds\([^)]*, \"(\w+)\"\)", code))
    assert named
    assert named <= PROJECT["optional-dependencies"].keys()


def test_types_and_licence_are_shipped() -> None:
    assert (ROOT / "src" / "cluit" / "py.typed").is_file()
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
