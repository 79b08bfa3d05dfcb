"""What holds of the code as a whole: who may import whom, what is public, what is never done."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cluit
from cluit.apps.api import Painter

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "cluit"
MODULES = sorted(SOURCE.rglob("*.py"))
TORCH_FREE = ("errors.py", "config.py", "settings.py", "recipes.py", "flags.py", "cli.py", "__init__.py")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A process that finds this checkout before any installed one."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )


def dotted(path: Path) -> str:
    """The module's name."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_imports_go_down_never_sideways() -> None:
    checked = run(sys.executable, "-c", "from importlinter.cli import lint_imports; exit(lint_imports())")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_nobody_outside_methods_imports_a_method() -> None:
    names = {path.name for path in (SOURCE / "methods").iterdir() if path.is_dir()}
    for path in MODULES:
        if SOURCE / "methods" not in path.parents:
            named = {name.split(".")[2] for name in imports(path) if name.startswith("cluit.methods.")}
            assert not named & names, f"{path} imports {named & names}"


def test_help_and_refusals_need_no_torch() -> None:
    modules = [dotted(path) for path in MODULES if path.name in TORCH_FREE]
    code = f"import sys\nfor name in {modules}: __import__(name)\nassert 'torch' not in sys.modules, 'torch'"
    imported = run(sys.executable, "-c", code)
    assert imported.returncode == 0, imported.stderr


def test_public_names_are_recorded() -> None:
    """Removing one is a decision: change it here too, and in CHANGELOG.md."""
    assert cluit.__all__ == ["Painter", "UserError", "__version__", "from_pretrained", "load", "train"]
    assert all(hasattr(cluit, name) for name in cluit.__all__)
    public = {name for name in vars(Painter) if not name.startswith("_")}
    assert public == {
        "translate", "structures", "styles", "sample_styles", "paint", "save_pretrained", "push_to_hub"
    }  # fmt: skip


def test_models_are_never_pickled() -> None:
    """torch.save writes checkpoints and nothing else; what torch.load reads is not executed."""
    for path in MODULES:
        for call in calls(path):
            name = ast.unparse(call.func)
            assert name not in ("pickle.load", "pickle.loads", "pickle.dump", "pickle.dumps"), path
            if name == "torch.load":
                assert "weights_only=True" in ast.unparse(call), path
            if name == "torch.save":
                assert path == SOURCE / "engine" / "checkpoint.py"


def test_every_module_says_what_it_is_for() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_step_waits_for_the_device() -> None:
    """`.item()` and friends belong to those who print, not to what runs at every step."""
    for folder in ("methods", "nn", "losses"):
        for path in (SOURCE / folder).rglob("*.py"):
            waiting = {
                node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
            }
            assert not waiting & {"item", "tolist", "cpu", "numpy"}, path
