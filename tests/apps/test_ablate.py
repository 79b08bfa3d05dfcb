"""Ablations as whole commands, of networks that have learned nothing in two steps."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from cluit.apps import ablation_scores, evaluation_set, pictures, truths
from cluit.apps.ablate import ablate
from cluit.apps.ablate_page import document, markdown, sweep
from cluit.apps.ablation_runs import Name, plan, rows_of
from cluit.apps.ablation_scores import SCORES, flat, open_scorer, scores
from cluit.apps.ablation_table import ordering, summaries
from cluit.apps.commands import training
from cluit.apps.planned import Outcome, Planned, time_left, train_and_score
from cluit.apps.scorer import Scorer, kept_scores
from cluit.apps.tables import comparison
from cluit.apps.thumbnails import GAP, LINE, SIDE
from cluit.core.errors import UserError
from cluit.core.files import disk_errors
from cluit.core.types import Translator
from cluit.data.portrait_folder import write_folder
from cluit.engine.console import run_console
from cluit.engine.log import Log, read_log
from cluit.methods.cluit.config import CluitConfig

TINY: dict[str, Any] = {
    "width": 8, "critic_width": 8, "style_dim": 16, "contrast_dim": 32, "queue_size": 64, "batch_size": 4,
    "count": 32, "steps": 2, "precision": "float32", "device": "cpu", "workers": 1, "log_every": 1,
    "score_every": 2, "grid_every": 2, "save_every": 2, "cycle_weight": 5.0, "r1_gamma": 0.5,
}  # fmt: skip
SHARED = "color+affine-crop0.125-patches4-cycle5-gamma0.5-seed0"


@pytest.fixture(scope="module", autouse=True)
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(evaluation_set, "PORTRAITS_COUNT", 24)
        patch.setattr(pictures, "HELD_OUT_MOST", 4)
        for name, count in (("PAIRS", 4), ("PROBED", 12), ("PROBED_TEST", 12)):
            patch.setattr(truths, name, count)
        patch.setattr(ablation_scores, "SOURCES", 6)
        patch.setattr(ablation_scores, "EACH", 2)
        yield


@pytest.fixture(scope="module")
def match(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Table 3 with two seeds: its folder, and what the command returned."""
    out = tmp_path_factory.mktemp("ablation")
    return out, ablate("match", "portraits", out=out, seeds=2, features="random", **TINY)


def first_row(out: Path, **settings: Any) -> Planned:
    return plan("match", "portraits", out, 1, {**TINY, **settings})[1][0]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return open_scorer(first_row(tmp_path_factory.mktemp("nothing")).settings, None, "random")


def test_what_two_ablations_share_is_trained_and_scored_once(match: tuple[Path, Any], scorer: Scorer) -> None:
    _, runs = plan("augmentation", "portraits", match[0], 1, TINY)
    assert [run.finished for run in runs] == [False, True, False, False]
    assert runs[1].folder.name == SHARED
    kept = {path: path.stat().st_mtime_ns for path in runs[1].folder.rglob("*")}
    (outcome,) = train_and_score([runs[1]], ["shared"], partial(scores, scorer), run_console())
    assert outcome.scores == json.loads((runs[1].folder / SCORES).read_text())["scores"]
    assert {path: path.stat().st_mtime_ns for path in runs[1].folder.rglob("*")} == kept


def test_the_same_again_trains_and_scores_nothing_and_says_the_same(match: tuple[Path, Any]) -> None:
    out, record = match
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    again = ablate("match", "portraits", out=out, seeds=2, features="random", **TINY)
    assert again["rows"] == record["rows"]
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == before


def test_other_networks_are_other_scores(match: tuple[Path, Any], tmp_path: Path, scorer: Scorer) -> None:
    run = Path(shutil.copytree(match[0] / "runs" / SHARED, tmp_path / "runs" / SHARED))
    question = json.loads((run / SCORES).read_text())["question"]
    assert question == {**scorer.question, "steps": 2}
    (run / SCORES).write_text(json.dumps({"question": {**question, "features": ["other"]}, "scores": {}}))
    found = scores(scorer, plan("match", "portraits", tmp_path, 1, TINY)[1][2])
    assert found == pytest.approx(json.loads((match[0] / "runs" / SHARED / SCORES).read_text())["scores"])


def test_an_interrupted_run_goes_on_to_the_same_scores(
    match: tuple[Path, Any], tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = first_row(tmp_path)
    write = Log.write

    def interrupting(self: Log, t: int, values: Mapping[str, Any]) -> None:
        write(self, t, values)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Log, "write", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train_and_score([run], ["full image"], partial(scores, scorer), run_console())
    monkeypatch.setattr(Log, "write", write)
    assert run.done == 1
    (outcome,) = train_and_score([run], ["full image"], partial(scores, scorer), run_console())
    losses = [entry["step"] for entry in read_log(run.folder / "log.jsonl") if "style" in entry]
    assert run.finished
    assert losses == [1, 2]
    straight = json.loads((match[0] / "runs" / run.folder.name / SCORES).read_text())
    assert outcome.scores == pytest.approx(straight["scores"], rel=1e-5, abs=1e-5)


def test_a_run_that_fails_is_reported_and_leaves_the_others(match: tuple[Path, Any], tmp_path: Path) -> None:
    out = Path(shutil.copytree(match[0], tmp_path / "out"))
    for name in ("checkpoints", "model/model.json", SCORES):
        path = out / "runs" / SHARED / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(SystemExit) as ending:
        training.ablate("match", "portraits", out=out, seeds=2, features="random", settings=TINY)
    assert ending.value.code == 1
    rows = json.loads((out / "match.json").read_text())["rows"]
    failed = [run["folder"] for row in rows for run in row["runs"] if run["failure"]]
    assert failed == [SHARED]
    assert rows[0]["scores"] == json.loads((match[0] / "match.json").read_text())["rows"][0]["scores"] | {
        name: {**score, "difference": pytest.approx(score["difference"]), "beyond_spread": None}
        for name, score in rows[0]["scores"].items()
    }
    assert len(rows[2]["scores"]["mae"]["values"]) == 1
    assert "has a model but no checkpoint" in (out / "match.html").read_text()
    assert "Failed: 4 patches, seed 0" in (out / "match.md").read_text()


def test_a_run_of_other_settings_is_refused(match: tuple[Path, Any]) -> None:
    for changed, said in (
        ({"style_weight": 2.0}, r"style_weight [\d.]+, not 2.0; choose another --out"),
        ({"steps": 1}, "trained for 2 steps, more than 1"),
    ):
        with pytest.raises(UserError, match=said):
            ablate("match", "portraits", out=match[0], features="random", **{**TINY, **changed})


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    run = first_row(tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="already holds other files"):
        ablate("match", "portraits", out=tmp_path, features="random", **TINY)
    assert [path.name for path in tmp_path.rglob("*.*")] == [run.folder.name, "letters.txt"]


@pytest.mark.parametrize(
    ("name", "data", "settings", "said"),
    [
        ("match", "portraits", {"patches": 2}, "varies patches by itself"),
        ("match", "portraits", {"minutes": 3.0}, "give --steps"),
        ("match", "pictures", {}, "add --held-out"),
        ("match", "pictures", {"held_out": "pictures/some"}, "must not be inside each other"),
        ("weights", "portraits", {"cycle_weight": 0}, "give both above 0"),
    ],
)
def test_what_an_ablation_cannot_have_is_refused(
    name: Name, data: str, settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        plan(name, data, tmp_path, 1, settings)


def test_the_oracles_features_need_an_oracle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="add --oracle"):
        open_scorer(first_row(tmp_path).settings, None, "oracle")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"question": {"seed": 0}}',
        '{"question": {"seed": 1}, "scores": {"mae": 1}}',
        '{"question": {"seed": 0}, "scores": {}}',
        '{"question": {"seed": 0}, "scores": [1]}',
    ],
)
def test_a_file_of_scores_that_answers_something_else_is_nobodys_answer(text: str, tmp_path: Path) -> None:
    (tmp_path / SCORES).write_text(text)
    assert kept_scores(tmp_path / SCORES, {"seed": 0}) is None


@pytest.mark.parametrize("suffix", ["json", "html", "md", "png"])
def test_files_that_are_no_ablations_are_left_alone(suffix: str, tmp_path: Path) -> None:
    mine = tmp_path / f"match.{suffix}"
    mine.write_text("{}")
    with pytest.raises(UserError, match=rf"match\.{suffix} is there and no result of match"):
        ablate("match", "portraits", out=tmp_path, features="random", **TINY)
    assert list(tmp_path.iterdir()) == [mine]
    assert mine.read_text() == "{}"


def test_a_full_disk_ends_the_whole_ablation(
    tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(run: Planned) -> None:
        with disk_errors(run.folder):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Planned, "train", fill)
    with pytest.raises(UserError, match="free some space"):
        train_and_score([first_row(tmp_path)], ["full image"], partial(scores, scorer), run_console())


@pytest.mark.parametrize("card", ["{", '{"format_version": 1}', '{"format_version": 1, "steps": 1}', None])
def test_a_model_that_is_behind_its_checkpoint_is_saved_before_it_is_scored(
    card: str | None, match: tuple[Path, Any], tmp_path: Path, scorer: Scorer
) -> None:
    run = first_row(tmp_path)
    shutil.copytree(match[0] / "runs" / run.folder.name, run.folder)
    whole = (run.folder / "model" / "model.json").read_bytes()
    if card is None:
        shutil.rmtree(run.folder / "model")
    else:
        (run.folder / "model" / "model.json").write_text(card)
    run.check()
    (outcome,) = train_and_score([run], ["full image"], partial(scores, scorer), run_console())
    assert outcome.failure is None
    assert (run.folder / "model" / "model.json").read_bytes() == whole


def test_a_run_that_is_not_finished_is_not_scored(
    tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Planned, "train", lambda run: None)
    (outcome,) = train_and_score(
        [first_row(tmp_path)], ["full image"], partial(scores, scorer), run_console()
    )
    assert outcome.failure is not None
    assert "has seen 0 steps" in outcome.failure


def test_a_failure_without_words_is_a_failure(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(run: Planned) -> None:
        raise RuntimeError

    monkeypatch.setattr(Planned, "train", fail)
    (outcome,) = train_and_score(
        [first_row(tmp_path)], ["full image"], partial(scores, scorer), run_console()
    )
    assert outcome.failure == "RuntimeError"


def test_page_json_and_tables_hold_every_row(match: tuple[Path, Any]) -> None:
    out, record = match
    page, tables = (out / "match.html").read_text(), (out / "match.md").read_text()
    twin = json.loads((out / "match.json").read_text())
    assert twin["rows"] == json.loads(json.dumps(record["rows"]))
    for title in ("full image", "1 patch", "4 patches", "8 patches"):
        assert f"| {title} | " in tables
        assert f">{title}</td>" in page
    assert "mFID (random" in tables
    assert "| the reference's pose | " in tables
    assert " ± " in tables
    assert "http://" not in page
    assert "https://" not in page
    assert {"settings", "seeds", "versions", "machine", "rule"} <= twin.keys()
    assert all(run["seconds"] > 0 for row in twin["rows"] for run in row["runs"])


def test_what_evaluate_warns_of_stands_beside_the_scores(match: tuple[Path, Any]) -> None:
    out, record = match
    assert ["biased upwards" in note for note in record["notes"]] == [False, True]
    assert record["notes"][0].startswith("No Fréchet distance of ")
    for suffix in ("html", "md"):
        assert all(note in (out / f"match.{suffix}").read_text() for note in record["notes"])


def test_the_picture_has_a_row_for_each_pair_and_a_column_for_each_strategy(match: tuple[Path, Any]) -> None:
    with Image.open(match[0] / "match.png") as sheet:
        columns = 2 + 4 + 1  # source and reference, the strategies, the true translation
        assert sheet.size == (columns * (SIDE + GAP) + 3 * GAP, 6 * (SIDE + GAP + LINE) + GAP)


class ReturnReference(Translator):
    """Whose style is all of the reference's pixels."""

    image_size = 32

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def encode_structure(self, source: Tensor) -> Tensor:
        return source[:, :, ::8, ::8]

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return reference.flatten(1)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return style.view(-1, 3, 32, 32)


def test_who_returns_the_reference_has_its_pose_and_not_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_scores, "SOURCES", 24)
    scorer = open_scorer(first_row(tmp_path).settings, None, "random")
    found = flat(scorer.judged(ReturnReference()))
    for pose in ("position", "scale", "tilt", "turn"):
        assert found[f"reference_{pose}"] > 0.9
        assert abs(found[pose]) < 0.5
    assert found["species"] > 0.9


def test_a_folder_without_classes_is_scored_by_what_needs_none(tmp_path: Path) -> None:
    write_folder(tmp_path / "drawn", 12, 32)
    (tmp_path / "flat").mkdir()
    for number, path in enumerate((tmp_path / "drawn").rglob("*.png")):
        path.rename(tmp_path / "flat" / f"{number}.png")
    run = plan("match", "elsewhere", tmp_path, 1, {**TINY, "held_out": tmp_path / "flat"})[1][0]
    scorer = open_scorer(run.settings, None, "random")
    assert set(flat(scorer.judged(run.settings.config.build_translator()))) == {"frechet", "structure_kept"}


def test_a_difference_counts_where_it_exceeds_both_deviations_together() -> None:
    far, near = comparison([1.0, 1.2], [2.0, 2.2]), comparison([1.0, 2.0], [2.0, 3.0])
    assert far["difference"] == pytest.approx(-1)
    assert far["beyond_spread"]
    assert near["difference"] == pytest.approx(-1)
    assert near["beyond_spread"] is False
    assert comparison([1.0], [2.0, 2.2])["beyond_spread"] is None
    assert comparison([1.0, 1.2], [1.0, 1.2], is_base=True)["difference"] is None


def test_what_is_left_is_told_in_minutes_while_there_are_any() -> None:
    assert time_left(20) == " · less than a minute left in all"
    assert time_left(200) == " · about 3 min left in all"


def test_rows_in_another_order_than_the_papers_are_named() -> None:
    rows = [
        {"row": "a", "paper": {"mFID": 1, "accuracy": 90}, "scores": {"mae": comparison([5.0, 5.1], [])}},
        {"row": "b", "paper": {"mFID": 2, "accuracy": 80}, "scores": {"mae": comparison([4.0, 4.1], [])}},
        {"row": "c", "paper": {"mFID": 3, "accuracy": 70}, "scores": {"mae": comparison([9.0, 9.1], [])}},
    ]
    assert ordering(rows, "mFID", "mae", "error") == (
        "By error, 2 of 3 pairs of rows stand in the paper's order; not so a and b (beyond the spread)."
    )
    assert ordering(rows[1:], "accuracy", "mae", "error").startswith("By error, 1 of 1")


def test_the_sweep_changes_one_weight_at_a_time_and_holds_the_base_on_both_lines() -> None:
    rows = rows_of("weights", CluitConfig(cycle_weight=4.0, r1_gamma=2.0))
    assert [dict(row.changes) for row in rows] == [
        {},
        *({"cycle_weight": weight} for weight in (1, 16, 64)),
        *({"r1_gamma": gamma} for gamma in (0.5, 8, 32)),
    ]
    record = {
        "settings": {"cycle_weight": 4.0, "r1_gamma": 2.0},
        "rows": [
            {"base": row.base, "changes": row.changes, "scores": {"mae": {"mean": float(number)}}}
            for number, row in enumerate(rows)
        ],
    }
    assert sweep(record, "cycle_weight", "mae") == [(-2, 1), (0, 0), (2, 2), (4, 3)]
    assert sweep(record, "r1_gamma", "mae") == [(-2, 4), (0, 0), (2, 5), (4, 6)]


def test_a_sweep_of_one_seed_says_so_and_has_a_chart_with_both_lines(tmp_path: Path) -> None:
    rows, runs = plan("weights", "portraits", tmp_path, 1, TINY)
    outcomes = [Outcome(run, {"accuracy": 0.5 + run.row / 20}) for run in runs]
    record = {
        "name": "weights", "command": "cluit ablate weights", "machine": "a machine", "seeds": [0],
        "settings": runs[0].settings.flat(), "test": {"sources": 1, "each": 1}, "network": "random",
        "oracle": "small", "oracle_accuracy": 0.99, "notes": ["Few pictures."],
        "rows": summaries(rows, outcomes),
    }  # fmt: skip
    page = document(record, outcomes, None)
    assert all(
        text in page for text in ("λ of the cycle", "γ of R1", "log₂ of the multiple", "right on 99.0%")
    )
    assert page.count("<svg") == 1
    assert "| λ 80 | +0.150 one seed |" in markdown(record)
    assert "Few pictures." in page
    assert "\n\nFew pictures.\n\n" in markdown(record)
