"""What the site shows of files that lie elsewhere, so that each stands in one place only.

The README is the home page; the methods' READMEs, benchmarks, CHANGELOG and CONTRIBUTING are pages as they
are. A link leads where it leads in the repository: to a page where there is one, else to a page of the
file's text. Below the equations of a method stand the lines that compute them.
"""

import ast
import io
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from cluit.apps.cli import parse
from cluit.apps.commands import COMMANDS

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "index.md": "README.md",
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    **{f"benchmarks/{path.name}": f"benchmarks/{path.name}" for path in ROOT.glob("benchmarks/*.md")},
    **{
        f"methods/{path.parent.name}.md": path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("src/cluit/methods/*/README.md")
    },
}
"""Pages by the files that they show."""

FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<before>\]\(|<img src=\")(?P<target>[^)\"#:\s]+)(?P<anchor>#[^)\s]*)?(?P<after>\)|\")")
TEST = re.compile(r"(?<!\[)`(test_\w+)`")
TABLE = re.compile(r"^\| paper \| line \| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)
HELP = "<!-- every command's help -->"
LANGUAGES = {".py": "python", ".cff": "yaml", ".toml": "toml"}
LONGEST = 40
"""Lines of code that are shown beside an equation; what is longer is only linked to."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and one for every file that some page links to."""
    for uri, path in ELSEWHERE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    wanted = set[str]()
    for file in files.documentation_pages():
        translated(file.src_uri, file.content_string, wanted.add)
    for path in sorted(wanted):
        files.append(File.generated(config, code_page(path), content=listing(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    if page.file.src_uri.startswith("code/"):
        return markdown
    if HELP in markdown:
        markdown = markdown.replace(HELP, every_help())
    return translated(page.file.src_uri, markdown, lambda _: None)


def on_page_content(html: str, page: Page, **_: object) -> None:
    """Tell mkdocs of the lines' anchors, which its check of links does not see in highlighted code."""
    if page.file.src_uri.startswith("code/"):
        page.present_anchor_ids = set(re.findall(r'id="([^"]+)"', html))


def translated(uri: str, markdown: str, code: Callable[[str], object]) -> str:
    """The text of the page ``uri`` with links as the site needs them; ``code`` is told each file it shows."""
    source = ELSEWHERE.get(uri, f"docs/{uri}")
    folder = posixpath.dirname(source)

    def lead(path: str) -> str:
        """From this page to what the site has in place of a file of the repository."""
        pages = {file: page for page, file in ELSEWHERE.items()}
        if path in pages:
            target = pages[path]
        elif path.startswith("docs/"):
            target = path.removeprefix("docs/")
        elif (ROOT / path).is_file():
            code(path)
            target = code_page(path)
        else:
            target = path  # leads nowhere, as mkdocs will say
        return posixpath.relpath(target, posixpath.dirname(uri) or ".")

    def link(found: re.Match[str]) -> str:
        target = lead(posixpath.normpath(posixpath.join(folder, found["target"])))
        return f"{found['before']}{target}{found['anchor'] or ''}{found['after']}"

    def test(found: re.Match[str]) -> str:
        own = folder.replace("src/cluit", "tests")
        path, line = max(tests()[found[1]], key=lambda place: place[0].startswith(f"{own}/"))
        return f"[`{found[1]}`]({lead(path)}#{at(line)})"

    parts = FENCED.split(markdown)
    for i in range(0, len(parts), 2):  # what is fenced stays as it is
        parts[i] = LINK.sub(link, parts[i])
        if source.startswith("src/"):
            parts[i] = TABLE.sub(lambda found: with_lines(found, folder, lead), parts[i])
            parts[i] = TEST.sub(test, parts[i])
    return "".join(parts)


def with_lines(table: re.Match[str], folder: str, lead: Callable[[str], str]) -> str:
    """A table of equations whose names lead to their lines, and below it these lines."""
    text, shown = table[0], dict[str, str]()
    for row in table[1].splitlines():
        paper, cell, _ = re.split(r"\s*\|\s*", row.strip("| "))
        file, *names = re.findall(r"`([^`]+)`", cell)
        path = posixpath.normpath(posixpath.join(folder, file))
        linked = cell.replace(f"`{file}`", f"[`{file}`]({lead(path)})")
        for name in names:
            node = places(path)[name]
            linked = linked.replace(f"`{name}`", f"[`{name}`]({lead(path)}#{at(node.lineno)})")
            lines = (ROOT / path).read_text().splitlines()[node.lineno - 1 : node.end_lineno]
            if len(lines) <= LONGEST and not isinstance(node, ast.ClassDef):
                block = f'```python linenums="{node.lineno}"\n' + "\n".join(undented(lines)) + "\n```\n"
                shown.setdefault(block, f"**{paper}** · `{Path(file).name}`\n\n")
        text = text.replace(f"| {cell} |", f"| {linked} |", 1)
    return text + "\n### The lines\n\n" + "\n".join(title + block for block, title in shown.items())


def undented(lines: list[str]) -> Iterator[str]:
    """``lines`` without the indentation of the first."""
    margin = len(lines[0]) - len(lines[0].lstrip())
    return (line[margin:] for line in lines)


@cache
def places(path: str) -> Mapping[str, ast.stmt]:
    """By name the statement of a file that first says what it is; a definition before an assignment."""
    found = dict[str, ast.stmt]()
    nodes = list(ast.walk(ast.parse((ROOT / path).read_text())))
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, node)
    assigned = [node for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign)]
    for statement in sorted(assigned, key=lambda node: node.lineno):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in (part for whole in targets for part in ast.walk(whole)):
            if isinstance(target, ast.Name | ast.Attribute):
                found.setdefault(target.id if isinstance(target, ast.Name) else target.attr, statement)
    return found


@cache
def tests() -> Mapping[str, list[tuple[str, int]]]:
    """The files and lines of every test by its name, which several files may have."""
    found = defaultdict[str, list[tuple[str, int]]](list)
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if name := re.match(r"def (test_\w+)", line):
                found[name[1]].append((path.relative_to(ROOT).as_posix(), number))
    return found


def at(line: int) -> str:
    """The anchor of a line on the page of a file."""
    return f"__codelineno-0-{line}"


def code_page(path: str) -> str:
    return f"code/{path}.md"


def listing(path: str) -> str:
    """A page of a file's text, with its lines' numbers, that searches pass over."""
    text = (ROOT / path).read_text()
    language = LANGUAGES.get(Path(path).suffix, "text")
    return (
        f"---\ntitle: {path}\nsearch: {{exclude: true}}\nhide: [toc, navigation]\n---\n\n"
        f'``````{language} linenums="1"\n{text}\n``````\n'
    )


@cache
def every_help() -> str:
    """What ``cluit COMMAND --help`` prints, for all of them."""
    commands = list[str]()
    for name, entry in COMMANDS.items():
        commands += [name] if callable(entry) else [f"{name} {part}" for part in entry]
    os.environ["COLUMNS"] = "86"  # as wide as the page
    return "\n".join(f"## cluit {command}\n\n```text\n{help_of(command)}\n```\n" for command in commands)


def help_of(command: str) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        parse([*command.split(), "--help"])
    return printed.getvalue().strip()
