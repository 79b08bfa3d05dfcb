"""Comparisons as whole commands, of networks that have learned nothing in two steps."""

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from PIL import Image
from torch import Tensor

from cluit.apps import compare_cost, evaluation_set, pictures, truths
from cluit.apps.commands import training
from cluit.apps.compare import SCORES, TRIVIAL, compare, scored
from cluit.apps.compare_cost import parameters
from cluit.apps.compare_entry import colour_distance, entry, reasons
from cluit.apps.compare_page import ONE_SEED, RULE, markdown
from cluit.apps.compare_plan import Row, plan, scored_on
from cluit.apps.compare_table import COARSE, by_class, class_tables, scores_table, standing, summaries
from cluit.apps.planned import Outcome, Planned
from cluit.apps.scorer import Scorer, Unchanged
from cluit.apps.settings import TrainSettings
from cluit.apps.side_by_side import PAIRS
from cluit.apps.thumbnails import GAP, LINE, SIDE
from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.data.portrait_folder import write_folder
from cluit.engine.log import Log, read_log
from cluit.export import weights
from cluit.methods import CONFIGS

TINY: dict[str, Any] = {
    "width": 8, "critic_width": 8, "style_dim": 16, "contrast_dim": 32, "queue_size": 64, "batch_size": 4,
    "count": 32, "precision": "float32", "device": "cpu", "workers": 1, "log_every": 1, "score_every": 2,
    "grid_every": 2, "save_every": 2, "recipe": "small",
}  # fmt: skip
SPECS = ("cluit", "cluit:cycle_weight=2")
ASKED: dict[str, Any] = {"methods": SPECS, "pictures": 8, "features": ["random"], "each": 2, "limit": 6}


@pytest.fixture(scope="module", autouse=True)
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(evaluation_set, "PORTRAITS_COUNT", 24)
        patch.setattr(pictures, "HELD_OUT_MOST", 4)
        for name, count in (("PAIRS", 4), ("PROBED", 12), ("PROBED_TEST", 12)):
            patch.setattr(truths, name, count)
        patch.setattr(compare_cost, "ROUNDS", 2)
        patch.setattr(compare_cost, "peak_memory", lambda job, variant: None)  # it starts a process
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Two rows with one seed: the folder, and what the command returned."""
    out = tmp_path_factory.mktemp("comparison")
    return out, compare("portraits", out=out, **ASKED, **TINY)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    run = planned(tmp_path_factory.mktemp("nothing"))[1][0]
    return Scorer("portraits", run.settings, oracle=None, features=["random"], each=4, seed=0, limit=None)


def planned(
    out: Path, *specs: str, pictures: int | None = 8, seeds: int = 1, **more: Any
) -> tuple[list[Row], list[Planned]]:
    return plan("portraits", out, specs or SPECS, pictures, seeds, {**TINY, **more})


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}


def test_every_row_has_what_the_table_promises(done: tuple[Path, Any]) -> None:
    out, record = done
    assert [row["row"] for row in record["rows"]] == ["cluit", "cluit (cycle weight 2)"]
    assert [run["pictures"] for row in record["rows"] for run in row["runs"]] == [8, 8]
    for row in record["rows"]:
        assert row["cost"]["parameters"] > row["cost"]["parameters_in_use"] > 0
        assert row["cost"]["macs"] > 0
        assert row["cost"]["seconds"] > 0
        assert row["speed"]["pictures_per_second"] == pytest.approx(4 * row["speed"]["steps_per_second"])
    names = {"source", "reference", "recoloured source", "average", "true translation"}
    assert record["trivial"].keys() == names
    assert record["trivial"]["true translation"]["scores"]["mae"] == 0
    twin = json.loads((out / "index.json").read_text())
    assert twin["budget"] == {"pictures": 8}
    assert twin["test"]["sources"] * twin["test"]["each"] == 12
    page, tables = (out / "index.html").read_text(), (out / "table.md").read_text()
    for text in (
        "return recoloured source",
        "kernel × 1000 (random)",
        "steps a second",
        "as often as they are seen",
    ):
        assert text in page
        assert text in tables
    assert ONE_SEED in tables
    assert "http://" not in page


def test_a_row_that_learned_nothing_is_not_trained_and_has_no_scores(done: tuple[Path, Any]) -> None:
    out, record = done
    assert {row["state"] for row in record["rows"]} == {"not trained"}
    assert all(row["scores"] == {} and row["runs"][0]["reasons"] for row in record["rows"])
    lines = [
        line
        for line in (out / "table.md").read_text().splitlines()
        if line.startswith("| cluit: not trained")
    ]
    assert len(lines) >= 3  # one in each table of scores
    assert all(set(line.split("|")[2:-1]) == {" – "} for line in lines)


def test_every_method_can_be_compared_and_goes_on_when_the_budget_grows(tmp_path: Path) -> None:
    alike = {name: value for name, value in TINY.items() if name in get_type_hints(TrainSettings)}
    shared = {**alike, "width": 4, "batch_size": 8, "score_every": 1}
    for budget in (8, 16):  # a step, then another
        asked = {**ASKED, "methods": list(CONFIGS), "pictures": budget}
        record = compare("portraits", out=tmp_path, **asked, **shared)
        assert [row["row"] for row in record["rows"]] == list(CONFIGS)
        runs = [run for row in record["rows"] for run in row["runs"]]
        assert [(run["failed"], run["pictures"]) for run in runs] == [(False, budget)] * len(CONFIGS)
        assert all(row["cost"]["macs"] > 0 for row in record["rows"])


def test_the_picture_has_a_column_for_each_row_and_the_truth_last(done: tuple[Path, Any]) -> None:
    with Image.open(done[0] / "figure.png") as sheet:
        assert sheet.size == (5 * (SIDE + GAP) + 3 * GAP, PAIRS * (SIDE + GAP + 3 * LINE) + GAP)


def test_the_same_again_trains_and_scores_nothing_and_says_the_same(done: tuple[Path, Any]) -> None:
    out, record = done
    before, kept = times(out), (out / TRIVIAL).stat().st_mtime_ns
    again = compare("portraits", out=out, **ASKED, **TINY)
    for row, one in zip(again["rows"], record["rows"], strict=True):
        assert {**row, "cost": None} == {**one, "cost": None}
    assert times(out) == before
    assert (out / TRIVIAL).stat().st_mtime_ns == kept


def test_another_method_beside_them_leaves_the_others_alone(done: tuple[Path, Any], tmp_path: Path) -> None:
    out = Path(shutil.copytree(done[0], tmp_path / "out"))
    before = {path: time for path, time in times(out).items() if path.is_file()}
    record = compare("portraits", out=out, **{**ASKED, "methods": ["cluit", "cluit:patches=1"]}, **TINY)
    assert [row["row"] for row in record["rows"]] == ["cluit", "cluit (patches 1)"]
    assert before.items() <= times(out).items()


def test_an_interrupted_comparison_goes_on_to_the_same_scores(
    done: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Log.write

    def interrupting(self: Log, t: int, values: Mapping[str, Any]) -> None:
        write(self, t, values)
        os.kill(os.getpid(), signal.SIGINT)

    shutil.copy(done[0] / TRIVIAL, tmp_path)
    monkeypatch.setattr(Log, "write", interrupting)
    one = {**ASKED, "methods": SPECS[:1]}
    with pytest.raises(KeyboardInterrupt):
        compare("portraits", out=tmp_path, **one, **TINY)
    monkeypatch.setattr(Log, "write", write)
    assert planned(tmp_path)[1][0].done == 1
    record = compare("portraits", out=tmp_path, **one, **TINY)
    steps = [
        entry["step"]
        for entry in read_log(tmp_path / "runs" / "cluit-seed0" / "log.jsonl")
        if "style" in entry
    ]
    assert steps == [1, 2]
    expected = done[1]["rows"][0]["runs"][0]["entry"]
    assert record["rows"][0]["runs"][0]["entry"] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_row_that_fails_is_reported_and_leaves_the_others(done: tuple[Path, Any], tmp_path: Path) -> None:
    out = Path(shutil.copytree(done[0], tmp_path / "out"))
    broken = out / "runs" / "cluit-seed0"
    shutil.rmtree(broken / "checkpoints")
    (broken / "model" / "model.json").unlink()
    with pytest.raises(SystemExit) as ending:
        training.compare("portraits", out=out, settings=TINY, **{**ASKED, "features": ("random",)})
    assert ending.value.code == 1
    rows = json.loads((out / "index.json").read_text())["rows"]
    assert [row["state"] for row in rows] == ["failed", "not trained"]
    assert rows[0]["cost"] is None
    assert "has a model but no checkpoint" in (out / "index.html").read_text()
    assert "| cluit: failed | – |" in (out / "table.md").read_text()


def test_a_training_that_diverged_counts_as_not_trained(tmp_path: Path) -> None:
    rows, runs = planned(tmp_path, "cluit")
    (one,) = summaries(rows, [Outcome(runs[0], {}, "training diverged: fool is not finite", True)], {})
    assert one["state"] == "not trained"
    assert one["runs"][0]["failed"]


def test_time_after_the_last_checkpoint_is_not_counted_as_spent(tmp_path: Path) -> None:
    (run,) = planned(tmp_path, "cluit", pictures=None, minutes=5.0)[1]
    weights.save(run.folder / "model", Unchanged(32), {"steps": 20})
    lines = [{"step": 10 * t, "seconds": 100.0 * t} for t in range(5)]
    (run.folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run.seconds == 400
    assert run.used == pytest.approx(200 / 60)
    assert not run.finished


def test_a_budget_of_time_is_spent_once(tmp_path: Path) -> None:
    minutes = {**ASKED, "pictures": None, "methods": SPECS[:1]}
    record = compare("portraits", out=tmp_path, **minutes, **TINY, minutes=0.01)
    (run,) = record["rows"][0]["runs"]
    assert record["budget"] == {"minutes": 0.01}
    assert run["seconds"] >= 0.6 * 0.9
    before = times(tmp_path)
    compare("portraits", out=tmp_path, **minutes, **TINY, minutes=0.01)
    assert times(tmp_path) == before
    asked: dict[str, Any]
    for asked, said in (
        ({"minutes": 0.005}, "for 0.01 minutes, more than 0.005"),
        ({"pictures": 8}, "by the clock; do so again"),
    ):
        with pytest.raises(UserError, match=said):
            compare("portraits", out=tmp_path, **{**minutes, **TINY, **asked})


@pytest.mark.parametrize(
    ("specs", "more", "said"),
    [
        ((), {}, "name what to compare"),
        (("gan",), {}, "unknown method 'gan'"),
        (("cluit", "cluit"), {}, "cluit is named twice"),
        (
            ("cluit:patches=1,width=4", "cluit:width=4,patches=1"),
            {},
            r"cluit \(patches 1, width 4\) is named twice",
        ),
        (("cluit:patches",), {}, "write it as cluit:name=value"),
        (("cluit:",), {}, "write it as cluit:name=value"),
        (("cluit:patches=1,patches=2",), {}, "write it as cluit:name=value"),
        (("cluit:seed=1",), {}, "seed is the same for all"),
        (("cluit:image-size=64",), {}, "image_size is the same for all"),
        (("cluit:patches=many",), {}, r"cluit \(patches many\): patches must be a whole number"),
        (("cluit:clusterz=3",), {}, "unknown setting 'clusterz'"),
        (("cluit", "cluit:recipe=paper"), {}, "draw at 32 and at 128 px"),
        (("cluit",), {"pictures": None}, "either --pictures or --minutes"),
        (("cluit",), {"minutes": 3.0}, "either --pictures or --minutes"),
        (("cluit",), {"pictures": 3}, "takes 4 pictures, more than 3"),
        (("cluit",), {"seeds": 0}, "at least 1 seed"),
        (("cluit",), {"steps": 5}, "has no --steps; give --pictures"),
        (("cluit",), {"method": "cluit"}, "has no --method; give --methods"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    specs: tuple[str, ...], more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    named = {**TINY, **more}
    count, seeds = named.pop("pictures", 8), named.pop("seeds", 1)
    with pytest.raises(UserError, match=said):
        plan("portraits", tmp_path, specs, count, seeds, named)


def test_pictures_that_rows_learn_from_do_not_score_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="add --test"):
        scored_on("pictures", None, None, out)
    with pytest.raises(UserError, match="must not be inside each other"):
        scored_on("pictures", "pictures/some", None, out)
    assert scored_on("pictures", None, "others", out) == "others"
    assert scored_on("pictures", "portraits", "others", out) == "portraits"


@pytest.mark.parametrize("name", ["index.json", "index.html", "table.md", "figure.png"])
def test_files_that_are_no_comparisons_are_left_alone(name: str, tmp_path: Path) -> None:
    mine = tmp_path / name
    mine.write_text("{}")
    with pytest.raises(UserError, match="no result of comparison"):
        compare("portraits", out=tmp_path, **ASKED, **TINY)
    assert list(tmp_path.iterdir()) == [mine]


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = planned(tmp_path)[1][1].folder
    folder.mkdir(parents=True)
    (folder / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="already holds other files"):
        compare("portraits", out=tmp_path, **ASKED, **TINY)
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["letters.txt"]


def test_a_specs_settings_win_over_those_for_all_and_these_over_the_recipe(tmp_path: Path) -> None:
    _, runs = planned(tmp_path, "cluit:width=4,cycle_weight=2", "cluit", cycle_weight=7.0, seeds=2)
    assert [run.folder.name for run in runs] == [
        "cluit-cycle_weight2-width4-seed0", "cluit-seed0", "cluit-cycle_weight2-width4-seed1", "cluit-seed1",
    ]  # fmt: skip
    assert [(run.settings.config.width, run.settings.config.cycle_weight) for run in runs[:2]] == [
        (4, 2),
        (8, 7),
    ]
    assert runs[0].settings.config.temperature == 0.07


class Blend(Translator):
    """Of source and reference, ``share`` parts reference."""

    image_size = 32

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(share))

    def encode_structure(self, source: Tensor) -> Tensor:
        return source

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return reference.flatten(1)

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return structure + (style.view_as(structure) - structure) * self.share


@pytest.mark.parametrize(
    ("translator", "said"),
    [
        (
            Blend(0.0),
            ["its backgrounds are", "differ by reference 0.00"],
        ),
        (Blend(0.5), ["its backgrounds are"]),
        (Blend(1.0), ["differ by source 0.00"]),
        (Blend(0.8), []),
    ],
)
def test_trivial_answers_are_no_training(translator: Translator, said: list[str], scorer: Scorer) -> None:
    found = entry(scorer.of(translator), scorer.work.sources, scorer.work.references)
    truth = scorer.judged(translator)["truth"]
    trivial = {
        name: {"truth": {"mae_background": background}}
        for name, background in (
            ("source", scorer.judged(Blend(0.0))["truth"]["mae_background"]),
            ("average", scorer.judged(Blend(0.5))["truth"]["mae_background"]),
        )
    }
    told = reasons(found, truth, trivial)
    assert len(told) == len(said)
    assert all(part in reason for part, reason in zip(said, told, strict=True))


def test_without_truths_the_mean_colour_tells(scorer: Scorer) -> None:
    unchanged = entry(scorer.of(Unchanged(32)), scorer.work.sources, scorer.work.references)
    assert unchanged["colour"] == pytest.approx(unchanged["colour_of_source"])
    assert any("mean colours" in reason for reason in reasons(unchanged, None, {}))
    average = entry(scorer.of(Blend(0.49)), scorer.work.sources, scorer.work.references)
    assert ["mean colours" in reason for reason in reasons(average, None, {})] == [True]
    blended = entry(scorer.of(Blend(0.6)), scorer.work.sources, scorer.work.references)
    assert blended["colour"] == pytest.approx(0.4 * blended["colour_of_source"], rel=0.02)
    assert reasons(blended, None, {}) == []


def test_colours_are_compared_in_levels_whatever_their_places() -> None:
    picture = torch.rand(3, 8, 8)
    assert colour_distance(picture, picture.flip(1, 2)) == pytest.approx(0, abs=1e-4)
    assert colour_distance(torch.full((3, 4, 4), -1.0), torch.ones(3, 4, 4)) == pytest.approx(255)


def outcome(run: Planned, distance: float, trained: bool = True) -> Outcome:
    """Of a run whose Fréchet distance is told; nothing else of it matters."""
    network = {"mean_class_frechet": distance, "kernel": None, "class_frechet": {"cat": distance, "dog": 1.0}}
    record = {
        "networks": {"net": network}, "oracle": None, "structure_kept": 0.5, "truth": None,
        "reference_pose": {},
    }  # fmt: skip
    effects = {"source_effect": 0.5 if trained else 0.0, "reference_effect": 0.5}
    return Outcome(run, {"record": record, "entry": {**effects, "colour": 1.0, "colour_of_source": 3.0}})


def test_rows_within_the_spread_of_the_best_are_even_and_an_untrained_seed_is_left_out(
    tmp_path: Path,
) -> None:
    specs = ("cluit", "cluit:patches=1", "cluit:patches=8", "cluit:patches=3")
    rows, runs = planned(tmp_path, *specs, seeds=3)
    values = [[10.0, 12.0, 11.0], [11.0, 13.0, 12.0], [30.0, 31.0, 32.0], [5.0, 20.0, 22.0]]
    outcomes = [
        outcome(run, values[run.row][run.seed], trained=(run.row, run.seed) != (3, 0)) for run in runs
    ]
    summed = summaries(rows, outcomes, {})
    record: dict[str, Any] = {"rows": summed, "trivial": {}, "oracle": None}
    table = scores_table(record, ("mean_class_frechet",))
    assert table.header == ["row", "mFID (net)"]
    assert table.rows == [
        ["cluit", "11.00 ± 1.00 best"],
        ["cluit (patches 1)", "12.00 ± 1.00 even"],
        ["cluit (patches 8)", "31.00 ± 1.00"],
        ["cluit (patches 3), 2 of 3 seeds", "21.00 ± 1.41"],
    ]
    assert summed[0]["classes"] == {"frechet:net": {"cat": 11.0, "dog": 1.0}}


def test_of_one_seed_nothing_is_best_or_even(tmp_path: Path) -> None:
    rows, runs = planned(tmp_path)
    summed = summaries(rows, [outcome(runs[0], 10.0), outcome(runs[1], 10.0)], {})
    cells = scores_table({"rows": summed, "trivial": {}, "oracle": None}, ("mean_class_frechet",)).rows
    assert [row[1] for row in cells] == ["10.00", "10.00"]
    assert standing(summed[0]) == "cluit"


def test_a_folder_without_classes_is_scored_by_what_needs_none(
    tmp_path: Path, done: tuple[Path, Any]
) -> None:
    write_folder(tmp_path / "drawn", 12, 32)
    (tmp_path / "flat").mkdir()
    for number, path in enumerate((tmp_path / "drawn").rglob("*.png")):
        path.rename(tmp_path / "flat" / f"{number}.png")
    run = planned(done[0])[1][0]
    flat = Scorer(
        str(tmp_path / "flat"), run.settings, oracle=None, features=["random"], each=20, seed=0, limit=None
    )
    assert flat.work.references.shape == (12, 11)  # as many as there are others
    shutil.copytree(run.folder / "model", tmp_path / "run" / "model")
    found = scored(Planned(0, 0, tmp_path / "run", run.settings), flat)
    assert found["record"]["truth"] is None
    assert found == json.loads((tmp_path / "run" / SCORES).read_text())["scores"]


def test_parameters_are_counted_once_and_without_the_lagging_judge(tmp_path: Path) -> None:
    config = planned(tmp_path)[1][0].settings.config
    method = config.build()
    optimizers = method.optimizers().values()
    trained = sum(
        weight.numel() for one in optimizers for group in one.param_groups for weight in group["params"]
    )
    found = parameters(config)
    assert found["parameters"] == trained < sum(weight.numel() for weight in method.parameters())
    assert found["parameters_in_use"] == sum(weight.numel() for weight in method.translator.parameters())


def test_several_seeds_are_told_by_another_rule(done: tuple[Path, Any]) -> None:
    assert RULE in markdown({**done[1], "seeds": [0, 1]})
    assert ONE_SEED not in markdown({**done[1], "seeds": [0, 1]})


def test_on_coarse_labels_the_page_tells_which_species_outputs_show(tmp_path: Path) -> None:
    coarse = {"cat": "pet", "dog": "pet", "fox": "wild", "rabbit": "wild", "mouse": "small", "pig": "small"}
    for name, split in (("train", "train"), ("test", "test")):
        write_folder(tmp_path / name, 60, 32, split=split, coarse=coarse)
    asked = {**ASKED, "methods": ["cluit"], "test": tmp_path / "test", "limit": 20}
    compare(tmp_path / "train", out=tmp_path / "out", **asked, **TINY)
    kept = json.loads((tmp_path / "out" / TRIVIAL).read_text())["scores"]
    shares = by_class(kept["true translation"])
    assert shares["species:told_apart"] == {"pet": 1, "small": 1, "wild": 1}
    assert set(by_class(kept["source"])["species:reference"].values()) == {0}
    row = {"row": "true translation", "state": "trained", "classes": shares, "runs": []}
    titles = [table.header[0] for table in class_tables({"rows": [row]}, coarse=True)]
    assert titles == list(COARSE.values())


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        ("classes", "flat", "put every test picture into a subfolder"),
        ("flat", "classes", "has to be told the class of pictures"),
        ("classes", "others", "not fox, mouse"),
    ],
)
def test_classes_that_are_missing_are_missed_before_anything_is_trained(
    tmp_path: Path, train: str, test: str, told: str
) -> None:
    write_folder(tmp_path / "classes", 24, 32, species_weights={"cat": 1, "dog": 1})
    write_folder(tmp_path / "others", 24, 32, split="test", species_weights={"fox": 1, "mouse": 1})
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted((tmp_path / "classes").rglob("*.png"))):
        shutil.copy(path, flat / f"{i}.png")
    asked = {**ASKED, "methods": ["cluit", "starganv2"], "test": tmp_path / test}
    few = {name: value for name, value in TINY.items() if name in get_type_hints(TrainSettings)}
    with pytest.raises(UserError, match=told):
        compare(tmp_path / train, out=tmp_path / "out", **asked, **few)
    assert not (tmp_path / "out").exists()
