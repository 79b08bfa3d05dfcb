import json
import re
from pathlib import Path
from typing import Any

import pytest

from cluit.apps.demo import demo, free_folder
from cluit.core.errors import UserError


def test_a_demo_ends_in_one_page_and_can_be_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"demo.PAIRS": 16, "truths.PAIRS": 16, "truths.PROBED": 64, "truths.PROBED_TEST": 32}
    for name, count in {**few, "pictures.HELD_OUT_MOST": 16}.items():
        monkeypatch.setattr(f"cluit.apps.{name}", count)
    page = demo(out=tmp_path / "demo", minutes=0.001, device="cpu", browser=False)
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    for part in ("Translations", "Losses", "Held-out scores", "recoloured source", "cluit train", "<svg"):
        assert part in text
    assert text.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:)', text)
    twin = json.loads(page.with_suffix(".json").read_text())
    assert twin["steps"] >= 1
    assert twin["machine"]
    assert len(twin["scores"]) >= 5
    assert free_folder(tmp_path / "demo") == tmp_path / "demo" / "run-2"


def test_a_budget_without_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="minutes"):
        demo(out=tmp_path / "demo", minutes=0)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"minutes": float("inf")}, {"precision": "float8"}])
def test_refused_settings_leave_no_folder(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        demo(out=tmp_path / "demo", **{"minutes": 0.001, "device": "cpu", "browser": False, **wrong})
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["index.html", "index.json"])
def test_a_page_of_the_users_own_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("my site")
    with pytest.raises(UserError, match="not of a demo"):
        demo(out=tmp_path, minutes=0.001, device="cpu", browser=False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "my site")]
