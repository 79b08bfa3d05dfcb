"""`cluit oracle` ends in an oracle with its own marks and a page, or in one sentence and nothing else."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from cluit.apps import oracle as app
from cluit.apps.oracle import make_oracle
from cluit.apps.oracle_page import verdict
from cluit.core.errors import UserError
from cluit.data.attributes import attribute_labels
from cluit.data.folder import ImageFolder
from cluit.data.labels import Labelled
from cluit.data.portrait_folder import TABLE, write_folder
from cluit.evaluation.marks import examine, marks_of
from cluit.evaluation.oracle import load_oracle

SMALL: dict[str, Any] = {
    "depth": 18, "width": 2, "image_size": 32, "steps": 3, "batch_size": 8, "device": "cpu",
    "precision": "float32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_portraits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "COUNTS", {app.LEARNED: 60, app.EXAMINED: 24})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Portraits to learn from, and others to be examined with; each with its table."""
    root = tmp_path_factory.mktemp("drawn")
    write_folder(root / "train", 48, 32)
    write_folder(root / "test", 24, 32, split="test")
    return root / "train", root / "test"


def test_an_oracle_of_species_ends_in_a_page_and_knows_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = make_oracle("portraits", out=tmp_path / "deep" / "oracle", **SMALL)
    names = {"oracle.json", "oracle.safetensors", "report.html", "report.json"}
    assert {path.name for path in out.iterdir()} == names
    assert "Of 24 pictures that it never saw" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["oracle"], "nothing half written beside it"
    oracle = load_oracle(out)
    twin = json.loads((out / "report.json").read_text())
    for card in (oracle.card, twin):
        assert card["test"]["pictures"] == card["grey"]["pictures"] == 24
        assert sum(map(sum, card["test"]["counts"])) == 24
        assert set(card["test"]["each"]) == set(oracle.classes)
        assert card["settings"]["seed"] == 0
        assert card["seconds"]["training"] > 0
        assert len(card["trials"]) == 3
    page = (out / "report.html").read_text()
    for part in ("Accuracy", "taken for", "Training", "Settings", "<svg", "rabbit", "in grey"):
        assert part in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_marks_on_the_card_are_those_of_the_saved_oracle(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    train, test = folders
    choice: dict[str, Any] = {"attributes": train / TABLE, "only": ["glasses", "striped"]}
    out = make_oracle(train, test=test, out=tmp_path / "o", **choice, **SMALL)
    oracle = load_oracle(out)
    assert oracle.multi
    assert oracle.classes == ["glasses", "striped"]
    pictures = ImageFolder(test, 32)
    labels = attribute_labels(pictures, test / TABLE, oracle.classes)
    again = examine(oracle, Labelled(pictures, labels))
    assert again.counts.tolist() == oracle.card["test"]["counts"], "by the test folder's own table"
    assert "have it" in (out / "report.html").read_text()


def test_portraits_know_their_attributes(tmp_path: Path) -> None:
    out = make_oracle("portraits", out=tmp_path / "o", only=["all"], **SMALL)
    oracle = load_oracle(out)
    assert oracle.multi
    assert len(oracle.classes) == 15
    assert len(oracle.card["test"]["each"]) == 15


def test_the_same_seed_gives_the_same_file(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    files = [
        make_oracle(folders[0], test=folders[1], out=tmp_path / str(i), seed=seed, **SMALL)
        / "oracle.safetensors"
        for i, seed in enumerate((5, 5, 6))
    ]
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"depth": 20}, "depth must be 18, 34, 50"),
        ({"image_size": 33}, "33"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"minutes": float("nan")}, "minutes must be positive"),
        ({"batch_size": 1}, "batch size"),
        ({"only": ["stripes"]}, "no attribute 'stripes' in portraits; did you mean 'striped'"),
        ({"only": ["banana"]}, "no attribute 'banana' in portraits; take some of "),
        ({"attributes": "table.csv"}, "portraits know their attributes"),
        ({"device": "tpu"}, "unknown device"),
        ({"precision": "float8"}, "unknown precision"),
        ({"test": "absent"}, "there is no folder at absent"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        make_oracle("portraits", out=tmp_path / "deep" / "o", **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())


def test_a_folder_needs_others_to_be_examined_with(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    train, test = folders
    with pytest.raises(UserError, match="--test DIR"):
        make_oracle(train, out=tmp_path / "o", **SMALL)
    for same in (train, train / "cat", train.parent):
        with pytest.raises(UserError, match="must not be inside each other"):
            make_oracle(train, test=same, out=tmp_path / "o", **SMALL)
    with pytest.raises(UserError, match="--only chooses among attributes"):
        make_oracle(train, test=test, only=["glasses"], out=tmp_path / "o", **SMALL)
    assert not (tmp_path / "o").exists()


def test_test_pictures_of_unknown_classes_are_refused_by_name(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    write_folder(tmp_path / "other", 12, 32, coarse={"cat": "lion"})
    with pytest.raises(UserError, match="the classes lion, which are not among cat"):
        make_oracle(folders[0], test=tmp_path / "other", out=tmp_path / "o", **SMALL)


def test_test_pictures_may_lack_a_class(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    write_folder(tmp_path / "other", 12, 32, species_weights={"cat": 1, "pig": 1})
    out = make_oracle(folders[0], test=tmp_path / "other", out=tmp_path / "o", **SMALL)
    assert load_oracle(out).card["test"]["each"]["dog"] is None


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        make_oracle("portraits", out=tmp_path / "o", **SMALL)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "save_oracle", interrupt)  # the last thing that is written
    with pytest.raises(KeyboardInterrupt):
        make_oracle("portraits", out=tmp_path / "o", **SMALL)
    assert not list(tmp_path.iterdir())


def test_sigterm_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate(*args: Any, **options: Any) -> None:
        assert [path.name[:3] for path in tmp_path.iterdir()] == [".o-"]  # what would be left
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(app, "save_oracle", terminate)
    with pytest.raises(SystemExit) as end:
        make_oracle("portraits", out=tmp_path / "o", **SMALL)
    assert end.value.code == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_oracle_that_lives_by_colour_is_not_recommended() -> None:
    true = torch.tensor([0, 1] * 50)
    good, chance = marks_of("ab", true, true), marks_of("ab", torch.zeros(100).long(), true)
    assert "colour alone is not what it sees" in verdict(good, good)
    assert "little but colour, so do not trust it" in verdict(good, chance)


def test_an_oracle_no_better_than_the_commonest_class_is_not_praised() -> None:
    true = (torch.arange(200) % 10 == 0).long()
    blind, keen = marks_of("ab", torch.zeros(200).long(), true), marks_of("ab", true, true)
    told = verdict(blind, blind)
    assert "commonest class is right on 90.0%: it has learned nothing" in told
    assert "colour" not in told.replace("lost their colours", "")
    assert "colour alone is not what it sees" in verdict(keen, keen)
    guessed = torch.rand(200, generator=torch.Generator().manual_seed(0)).round().long()
    lucky = marks_of("ab", guessed, torch.arange(200) % 2)
    assert "learned nothing" in verdict(lucky, lucky)


def test_attributes_that_are_not_seen_are_named() -> None:
    true = (torch.arange(40) % 2 == 0)[:, None].expand(40, 2)
    seen = true.clone()
    seen[:, 1] = False
    marks = marks_of(["glasses", "striped"], seen, true)
    assert "It hardly sees striped: do not judge by them" in verdict(marks, marks)
    unseen = marks_of(["striped"], seen[:, 1:], true[:, 1:])
    assert "It has learned next to nothing of any" in verdict(unseen, unseen)
    assert "hardly" not in verdict(marks_of(["glasses"], seen[:, :1], true[:, :1]), marks)
