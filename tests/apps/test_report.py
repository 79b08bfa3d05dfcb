import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from cluit.apps import report
from cluit.apps.charts import curves
from cluit.core.errors import UserError

VOID = {"meta", "img", "line", "path", "link", "br"}


class Nesting(HTMLParser):
    """Raises where a tag is not closed by its own end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def sample() -> str:
    noisy = [(float(i), 2 + i % 3 - i / 100) for i in range(100)]
    picture = report.figure(Image.new("RGB", (8, 8)), 'a "caption"', zoom=3)
    table = report.table(["model", "error"], [["ours", 0.12345], ["<i>", float("nan")]])
    chart = curves("loss", {"critic": noisy, "style": noisy[:5]})
    return report.page(
        "A <title>",
        "a lead & more",
        report.section("Pictures", report.row(picture)),
        report.section("Figures", table, chart, report.command("a > b")),
    )


def test_a_page_needs_no_network_and_closes_its_tags() -> None:
    document = sample()
    assert all(link.startswith("data:") for link in re.findall(r'(?:src|href)\s*=\s*"([^"]*)', document))
    assert "url(" not in document
    assert "http" not in document.replace("http-equiv", "")
    parser = Nesting()
    parser.feed(document)
    assert parser.open == []


def test_text_is_escaped_everywhere() -> None:
    document = sample()
    assert "A &lt;title&gt;" in document
    assert "a lead &amp; more" in document
    assert "a &quot;caption&quot;" in document
    assert "&lt;i&gt;" in document
    assert "a &gt; b" in document


def test_a_page_suits_phone_and_night() -> None:
    document = sample()
    assert 'name="viewport"' in document
    assert "prefers-color-scheme: dark" in document


def test_numbers_need_neither_exponents_nor_stray_points() -> None:
    values = (0.5, 338.0, 12345.6, float("nan"))
    assert [report.number(value, "#") for value in values] == ["0.500", "338", "12,346", "–"]


def test_a_place_is_told_without_what_only_this_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report.place("portraits") == "portraits"
    assert report.place("some/where") == "some/where"
    assert report.place(tmp_path / "data" / "test") == str(Path("data", "test"))
    assert report.place(tmp_path.parent / "elsewhere") == "…/elsewhere"
    line = f"cluit train '{tmp_path.parent}/my pictures' --out {tmp_path / 'run'} --note 'a b' > log"
    assert "cluit train '…/my pictures' --out run --note 'a b' > log" in html.unescape(report.command(line))


def test_the_twin_has_settings_versions_and_null_for_nan(tmp_path: Path) -> None:
    record = {"settings": {"seed": 3}, "results": [1.0, float("nan")]}
    report.write(tmp_path / "new" / "index.html", sample(), record)
    twin = json.loads((tmp_path / "new" / "index.json").read_text())
    assert twin["settings"] == {"seed": 3}
    assert twin["results"] == [1.0, None]
    assert {"cluit", "torch", "python"} <= twin["versions"].keys()
    assert (tmp_path / "new" / "index.html").read_text() == sample()


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        report.write(tmp_path / "file" / "index.html", sample(), {})
