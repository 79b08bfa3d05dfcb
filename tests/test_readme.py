"""What the READMEs and docs say is run or checked: code, commands, links, where each equation is."""

import ast
import re
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import cluit
from cluit.apps import api, cli
from cluit.core.errors import UserError
from cluit.core.images import as_picture

ROOT = Path(__file__).parents[1]
METHODS = ROOT / "src" / "cluit" / "methods"
METHOD_PAGES = sorted(METHODS.glob("*/README.md"))
RUN = [ROOT / "README.md", ROOT / "docs" / "python.md"]
"""Pages whose Python is run; that of others may need what is not here, and is only compiled."""
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *METHOD_PAGES,
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
TINY = {"image_size": 32, "width": 8, "critic_width": 8, "batch_size": 4, "steps": 2, "device": "cpu"}


def blocks(language: str, pages: list[Path] = PAGES) -> list[tuple[Path, str]]:
    """Every fenced block in this language, with its file."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(path, code) for path in pages for code in fence.findall(path.read_text())]


def command_lines() -> list[str]:
    """Every line of a shell block without comments, prompts and dots for more, continued lines joined."""
    lines = (line for _, code in blocks("sh") for line in code.replace("\\\n", " ").splitlines())
    words = (shlex.split(line.removeprefix("$ "), comments=True) for line in lines)
    return sorted({shlex.join(word for word in line if word != "...") for line in words if line})


def table_rows() -> list[tuple[Path, list[str]]]:
    """The cells of every row of a table ``paper | line | test``, with the method's folder."""
    rows = []
    for path in METHOD_PAGES:
        table = re.search(
            r"^\| paper \| line \| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", path.read_text(), re.MULTILINE
        )
        assert table, f"{path} has no table of equations"
        rows += [(path.parent, re.split(r"\s*\|\s*", row.strip("| "))) for row in table[1].splitlines()]
    return rows


def draw(*_: object) -> torch.Tensor:
    return torch.randint(0, 256, (3, 40, 48), dtype=torch.uint8)


@pytest.mark.parametrize("number", range(len(blocks("python", RUN))))
def test_python_blocks_run(
    number: int, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the pictures that they name; training is made tiny."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog", "fox"):
        as_picture(draw()).save(f"{name}.png")

    def train(dataset: Any, **settings: Any) -> api.Painter:
        return api.train(dataset, **{**settings, **TINY})

    monkeypatch.setattr(cluit, "train", train, raising=False)
    shipped = ROOT / "src" / "cluit" / "assets" / "portraits"
    if not shipped.is_dir():  # not trained yet
        folder_of = api.model_folder
        monkeypatch.setattr(
            api, "model_folder", lambda model: folder_of(tiny_model if model == api.SHIPPED else model)
        )
    path, code = blocks("python", RUN)[number]
    exec(compile(code, path, "exec"), {"draw_or_load": draw})


def test_python_blocks_compile() -> None:
    for path, code in blocks("python"):
        compile(code, path, "exec")


@pytest.mark.parametrize("line", [line for line in command_lines() if line.startswith("cluit ")])
def test_commands_are_understood(line: str) -> None:
    outcome: AbstractContextManager[object] = nullcontext()
    if "--help" in line:
        outcome = pytest.raises(SystemExit, match=r"^0$")
    with outcome:
        cli.parse(shlex.split(line)[1:])


@pytest.mark.parametrize("line", [line for line in command_lines() if line.startswith("make")])
def test_make_knows_its_targets(line: str) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert shlex.split(line)[1] in targets


def test_commands_named_within_the_text_exist() -> None:
    for path in PAGES:
        if path.name == "CHANGELOG.md":  # which tells of commands as they were
            continue
        for words in re.findall(r"`cluit ([^`]+)`", path.read_text()):
            try:
                cli.parse(shlex.split(words))
            except SystemExit:  # help
                pass
            except UserError as error:  # an argument is missing, where the text only names the command
                if not re.search(r"^missing: | needs a command", str(error)):
                    raise


def test_the_readme_names_what_ci_runs() -> None:
    called = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert called[0] == "make test"
    assert set(called) <= set(command_lines())


def test_each_equation_has_its_line_and_its_test() -> None:
    tests = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    rows = table_rows()
    assert rows
    for folder, (_, line, test) in rows:
        file, *names = re.findall(r"`([^`]+)`", line)
        assert set(names) <= names_in(folder / file), f"{file} lacks some of {names}"
        named = set(re.findall(r"`([^`]+)`", test))
        assert named or test == "the same", f"{line} has no test"
        assert named <= tests, f"there is no {test}"


def names_in(path: Path) -> set[str]:
    """Every function, class, variable and attribute that a file names."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return (
        {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        | {node.id for node in nodes if isinstance(node, ast.Name)}
        | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    )


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        text = FENCED.sub("", path.read_text())
        for target in re.findall(r"(?:\]\(|<img src=\")([^)#\s\"]+)", text):
            assert target.startswith("http") or (path.parent / target).exists(), f"{path}: {target}"
