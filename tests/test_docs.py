"""The site builds without a warning, shows every page, and asks nothing of a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[1]
PAGE = re.compile(r"[\w./-]+\.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A broken link, a lost anchor, a page outside the navigation is an error."""
    folder = tmp_path_factory.mktemp("site")
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_in_the_navigation_once() -> None:
    named = PAGE.findall((ROOT / "mkdocs.yml").read_text())
    benchmarks = {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.md")}
    methods = {f"methods/{path.parent.name}.md" for path in (ROOT / "src/cluit/methods").glob("*/README.md")}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    elsewhere = {"index.md", "changes.md", "contributing.md"}
    assert sorted(named) == sorted(pages | benchmarks | methods | elsewhere)


def test_no_page_asks_a_network_for_anything(site: Path) -> None:
    """Links elsewhere are for readers to follow; scripts, styles, fonts and pictures are the site's own."""
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text()):
            outside = re.search(r"""(?:src|href)=["']?(?:https?:)?//[^"'>\s]+""", tag)
            assert outside is None or 'rel="canonical"' in tag, f"{page.relative_to(site)}: {tag}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", style.read_text()), style


def test_each_equation_leads_to_its_line(site: Path) -> None:
    for readme in (ROOT / "src/cluit/methods").glob("*/README.md"):
        name = readme.parent.name
        page = (site / "methods" / f"{name}.html").read_text()
        rows = readme.read_text().count("| `step.py`: ")
        line = rf'href="\.\./code/src/cluit/methods/{name}/step\.py\.html#__codelineno-0-\d+"'
        assert len(re.findall(line, page)) >= rows > 0


def test_the_code_that_an_equation_leads_to_is_the_code(site: Path) -> None:
    page = (site / "code/src/cluit/methods/cluit/step.py.html").read_text()
    number = 1 + next(
        i
        for i, line in enumerate((ROOT / "src/cluit/methods/cluit/step.py").read_text().splitlines())
        if line.strip().startswith("contrast = ")
    )
    assert re.search(rf'id="__codelineno-0-{number}"[^>]*></a>.{{0,40}}<span class="n">contrast</span>', page)


def test_every_command_has_its_help(site: Path) -> None:
    from cluit.apps.commands import COMMANDS

    page = (site / "commands.html").read_text()
    for name, entry in COMMANDS.items():
        for command in [name] if callable(entry) else [f"{name} {part}" for part in entry]:
            assert f"usage: cluit {command} " in page
