"""Training through its own door: whole runs of a few steps, of real networks on real files."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from traces import logged, remembered

from cluit.apps import monitor
from cluit.apps.train import train
from cluit.core.errors import UserError
from cluit.engine.checkpoint import checkpoints, latest_checkpoint, load_checkpoint
from cluit.engine.divergence import Diverged
from cluit.engine.log import read_log
from cluit.export import weights
from cluit.methods import CONFIGS
from cluit.methods.cluit.networks import CluitTranslator

TINY: dict[str, Any] = {
    "image_size": 32,
    "width": 8,
    "critic_width": 8,
    "style_dim": 16,
    "contrast_dim": 32,
    "queue_size": 64,
    "batch_size": 4,
    "steps": 6,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "log_every": 2,
    "grid_every": 3,
    "score_every": 3,
    "save_every": 3,
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty small pictures and one file that is none."""
    root = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for i in range(30):
        coarse = Image.fromarray(chance.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((40, 36), Image.Resampling.BICUBIC).save(root / f"{i:02d}.png")
    (root / "broken.jpg").write_bytes(b"not a picture")
    return root


@pytest.fixture(scope="session")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps without a break."""
    with torch.random.fork_rng():
        return train(folder, out=tmp_path_factory.mktemp("runs") / "straight", **TINY)


def assert_same_run(one: Path, other: Path) -> None:
    a, b = remembered(one), remembered(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert logged(one) == logged(other)
    for pattern in ("grids/*.png", "model/*", "best/*"):
        names = sorted(path.relative_to(one) for path in one.glob(pattern))
        assert names
        assert names == sorted(path.relative_to(other) for path in other.glob(pattern))
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_run_leaves_what_it_promises(straight: Path, folder: Path) -> None:
    assert list(checkpoints(straight)) == [3, 6]
    assert {path.name for path in (straight / "grids").iterdir()} == {
        "step-00000003.png",
        "step-00000006.png",
    }
    assert "broken.jpg: " in (straight / "skipped.txt").read_text()
    assert (straight / "report.html").read_text().count("data:image/png") == 1
    translator, card = weights.load(straight / "model", CONFIGS)
    assert card["steps"] == 6
    average = load_checkpoint(checkpoints(straight)[6])["average"]
    assert all(torch.equal(value, average[name]) for name, value in translator.state_dict().items())
    entries = read_log(straight / "log.jsonl")
    assert [entry["step"] for entry in entries] == [2, 3, 4, 6, 6]
    assert {"contrast", "critic", "style", "cycle", "learning_rate_critic"} <= entries[0].keys()
    assert {"realism", "source_effect", "reference_effect"} <= entries[1].keys()


def test_stopping_and_resuming_changes_nothing(straight: Path, folder: Path, tmp_path: Path) -> None:
    """Steps 1 to 3, then in a new session to 6: the shorter run is extended, with another --steps."""
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 3})
    assert list(checkpoints(run)) == [3]
    torch.manual_seed(77)  # whatever state the new session begins in
    train(out=run, resume=True, steps=6)
    assert_same_run(run, straight)


def test_a_finished_model_without_its_checkpoints_is_not_trained_over(straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight, run, ignore=shutil.ignore_patterns("checkpoints"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="a model but no checkpoint"):
        train(out=run, resume=True, steps=9)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    shutil.rmtree(run / "model")  # as if it was killed before the first checkpoint
    train(out=run, resume=True, steps=1)


@pytest.mark.parametrize("damage", ["removed", "of an earlier step"])
def test_a_run_killed_after_its_last_checkpoint_gets_that_ones_model(
    straight: Path, tmp_path: Path, damage: str
) -> None:
    run = Path(shutil.copytree(straight, tmp_path / "run"))
    if damage == "removed":
        shutil.rmtree(run / "model")
    else:
        card = run / "model" / "model.json"
        card.write_text(card.read_text().replace('"steps": 6', '"steps": 3'))
        (run / "model" / "model.safetensors").write_bytes(b"")
    train(out=run, resume=True)
    assert_same_run(run, straight)


def test_a_stop_between_checkpoints_and_log_lines_changes_nothing(
    straight: Path, folder: Path, tmp_path: Path
) -> None:
    """Three sessions that end where nothing is due; only looks at their ends are added to the log."""
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 1})
    for steps in (5, 6):
        train(out=run, resume=True, steps=steps)
    a, b = remembered(run), remembered(straight)
    assert all(torch.equal(a[name], b[name]) for name in a)
    added = [entry for entry in logged(run) if entry not in logged(straight)]
    assert [entry["step"] for entry in added] == [1, 5]
    assert all("realism" in entry and "contrast" not in entry for entry in added)
    assert [entry for entry in logged(run) if entry not in added] == logged(straight)


def test_being_looked_at_more_often_is_the_same_run(straight: Path, folder: Path, tmp_path: Path) -> None:
    settings = {**TINY, "grid_every": 1, "score_every": 2, "save_every": 4}
    run = train(folder, out=tmp_path / "run", **settings)
    a, b = remembered(run), remembered(straight)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_pages_and_grids_that_cannot_be_made_do_not_end_a_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = shutil.copytree(folder, tmp_path / os.fsdecode(b"[b]caf\xe9"))
    run = train(odd, out=tmp_path / "run", **{**TINY, "steps": 1})
    assert (run / "report.html").exists()
    assert "no grid or page" not in (told := capsys.readouterr().err)
    (run / "grids" / "step-final.png").touch()
    (run / "grids" / "step-99999999.png").touch()  # no picture
    train(out=run, resume=True, steps=2)
    told = capsys.readouterr().err
    assert "warning: step 2: no grid or page (cannot identify" in told
    assert list(checkpoints(run)) == [1, 2]


def test_another_seed_is_another_run(straight: Path, folder: Path, tmp_path: Path) -> None:
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 2, "seed": 1})
    assert logged(run)[0] != logged(straight)[0]


def test_an_occupied_run_is_refused_and_left_alone(straight: Path, folder: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="already holds a run"):
        train(folder, out=straight, **TINY)
    with pytest.raises(UserError, match=r"begun with seed 0 and cannot go on with seed 4"):
        train(folder, out=straight, resume=True, seed=4, steps=9)
    other = tmp_path / "other"
    other.mkdir()
    for i in range(8):
        Image.new("RGB", (32, 32), (i, i, i)).save(other / f"{i}.png")
    with pytest.raises(UserError, match="begun on other pictures"):
        train(other, out=straight, resume=True, steps=9)
    with pytest.raises(UserError, match="has done 6 steps, more than 4"):
        train(out=straight, resume=True, steps=4)
    after = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if path.is_file()}
    assert {p: t for p, t in before.items() if p.name != ".lock"} == {
        p: t for p, t in after.items() if p.name != ".lock"
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": None}, "name the data"),
        ({"data": "/no/such/folder"}, "no folder at /no/such/folder"),
        ({"device": "cuda"}, "no cuda device"),
        ({"batch_size": 3}, "batch_size must be even"),
        ({"minutes": float("inf")}, "minutes must be"),
        ({"style_weight": float("nan")}, "style_weight must be"),
        ({"init_from": "/no/model"}, "no model in /no/model"),
        ({"held_out": "/no/folder"}, "no folder at /no/folder"),
        ({"config": "/no/file.yaml"}, "cannot read /no/file.yaml"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    if given.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    data = given.pop("data", folder)
    with pytest.raises(UserError, match=words):
        train(data, out=tmp_path / "run", **{**TINY, **given})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["data", "held_out"])
def test_a_run_is_kept_apart_from_its_pictures(folder: Path, tmp_path: Path, name: str) -> None:
    pictures = shutil.copytree(folder, tmp_path / "pictures")
    before = sorted(pictures.rglob("*"))
    for out in (pictures / "runs" / "a", pictures, tmp_path):
        with pytest.raises(UserError, match="must not be inside each other"):
            train(**{"data": folder, **TINY, name: pictures, "out": out})
    assert sorted(pictures.rglob("*")) == before


@pytest.mark.parametrize(
    ("place", "raised"),
    [
        ("cluit.apps.train.open_data", MemoryError()),
        ("cluit.apps.train.Job", RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        ("cluit.apps.train.Job.train", torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_too_little_memory_is_said_in_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, raised: Exception
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(place, fail)
    with pytest.raises(UserError, match=r"memory of cpu is full; .* smaller --batch-size"):
        train(folder, out=tmp_path / "a", **TINY)
    raised = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        train(folder, out=tmp_path / "b", **TINY)


def test_a_run_begun_in_bfloat16_is_not_slowed_down_silently(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 1, "precision": "bfloat16"})
    monkeypatch.setattr("cluit.apps.train.has_fast_bfloat16", lambda device: False)
    with pytest.raises(UserError, match="--precision float32"):
        train(out=run, resume=True, steps=2)
    train(out=run, resume=True, steps=2, precision="float32")
    assert "precision: float32" in (run / "settings.yaml").read_text()


def test_any_map_style_data_set_trains(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    items = [(Image.fromarray(chance.integers(0, 256, (32, 48, 3), dtype=np.uint8)), i) for i in range(12)]
    run = train(items, out=tmp_path / "run", **{**TINY, "steps": 1})
    with pytest.raises(UserError, match="name the data"):
        train(out=run, resume=True, steps=2)
    train(items, out=run, resume=True, steps=2)
    assert list(checkpoints(run))[-1] == 2


def test_another_folder_may_be_held_out(folder: Path, straight: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 1, "held_out": other})
    assert str(other) in (run / "settings.yaml").read_text()


def test_training_pictures_are_not_held_out_too(folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(folder, tmp_path / "data")
    inner = shutil.copytree(folder, data / "inner")
    for held_out in (data, inner):
        with pytest.raises(UserError, match=r"held-out pictures in .* must not be inside each other"):
            train(data, out=tmp_path / "run", **{**TINY, "held_out": held_out})
    assert not (tmp_path / "run").exists()


def test_fine_tuning_begins_with_the_other_models_weights(
    straight: Path, folder: Path, tmp_path: Path
) -> None:
    """A run gives all its networks, a saved model its translator; with the least learning they stay there."""
    frozen = {**TINY, "steps": 1, "learning_rate": 1e-30}
    for start, names in ((straight, ("translator", "critic")), (straight / "model", ("translator",))):
        run = train(folder, out=tmp_path / f"from-{start.name}", init_from=start, **frozen)
        state = load_checkpoint(checkpoints(run)[1])["method"]
        before = load_checkpoint(checkpoints(straight)[6])
        source = before["method"] if start is straight else {
            f"translator.{name}": value for name, value in before["average"].items()
        }  # fmt: skip
        for name in state:
            if name.split(".")[0] in names:
                assert torch.equal(state[name], source[name]), name


def test_fine_tuning_networks_of_another_shape_is_refused(
    straight: Path, folder: Path, tmp_path: Path
) -> None:
    """The message blames nothing that does not shape a network, such as the number of patches."""
    with pytest.raises(UserError, match=r"another shape; it has style_dim 16 \(here 24\)$"):
        train(folder, out=tmp_path / "run", init_from=straight, **{**TINY, "style_dim": 24, "patches": 1})


def test_divergence_stops_the_run_and_leaves_the_last_good_checkpoint(folder: Path, tmp_path: Path) -> None:
    wild = {**TINY, "learning_rate": 1e30, "save_every": 1, "log_every": 1, "steps": 50}
    with pytest.raises(Diverged, match="not finite at step"):
        train(folder, out=tmp_path / "run", **wild)
    path = latest_checkpoint(tmp_path / "run")
    with pytest.raises(Diverged, match="not finite at step"):
        train(
            folder, out=tmp_path / "scored", **{**wild, "log_every": 50, "save_every": 50, "score_every": 1}
        )
    assert path is None or all(torch.isfinite(value).all() for value in remembered(tmp_path / "run").values())


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_saves_and_the_run_goes_on_as_if_there_had_been_none(
    folder: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    number: signal.Signals,
    ending: type[BaseException],
) -> None:
    """After Ctrl-C there is also something to look at."""
    run = tmp_path / "run"

    def soon() -> None:
        while not (run / "log.jsonl").exists() or not read_log(run / "log.jsonl"):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=soon)
    thread.start()
    with pytest.raises(ending):
        train(folder, out=run, **{**TINY, "steps": 10_000})
    thread.join()
    done = list(checkpoints(run))[-1]
    assert 2 <= done < 10_000
    assert b"stopping after this step" in capfdbinary.readouterr().err
    looked = (run / "grids" / f"step-{done:08d}.png").exists() and (run / "report.html").exists()
    assert looked or number == signal.SIGTERM
    reference = train(folder, out=tmp_path / "reference", **{**TINY, "steps": done + 2})
    train(out=run, resume=True, steps=done + 2)
    a, b = remembered(run), remembered(reference)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_budget_of_minutes_ends_a_run_early(folder: Path, tmp_path: Path) -> None:
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 10_000, "minutes": 0.02})
    assert list(checkpoints(run))[-1] < 10_000
    train(out=run, resume=True, steps=list(checkpoints(run))[-1] + 1)  # the budget was that session's
    assert (run / "model").is_dir()


def test_the_first_line_says_which_recipe_was_chosen_and_what_is_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**TINY, "steps": 1}
    train(folder, out=tmp_path / "a", **small)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "recipe small, which this machine can train · cluit at 32 px · cpu in float32 · "
        "26 pictures, 4 held out · steps 0 to 1"
    )
    train(folder, out=tmp_path / "b", recipe="paper", init_from=tmp_path / "a", **small)
    told = capsys.readouterr().err
    assert told.startswith("recipe paper · ")
    assert f"from all networks of {tmp_path / 'a'}\n" in told
    assert "takes weeks on a CPU" in told
    train(folder, out=tmp_path / "c", recipe="small", init_from=tmp_path / "a" / "model", **small)
    assert f"from the translator of {tmp_path / 'a' / 'model'}\n" in capsys.readouterr().err


def test_curves_for_tensorboard_are_written_if_asked_for(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = train(folder, out=tmp_path / "run", **{**TINY, "steps": 2, "tensorboard": True})
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_portraits_are_scored_against_the_truth(tmp_path: Path) -> None:
    run = train("portraits", out=tmp_path / "run", count=16, **{**TINY, "steps": 1, "save_every": 9})
    entry = read_log(run / "log.jsonl")[-1]
    assert {
        "mae_face",
        "mae_background",
        "position",
        "species",
        "probe_features",
        "probe_style",
    } <= entry.keys()


def test_a_generator_that_ignores_its_source_is_pointed_out_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here its structure is nothing, so every output of one reference is alike."""
    structure = CluitTranslator.encode_structure
    monkeypatch.setattr(monitor, "WARM_UP", 2)
    monkeypatch.setattr(CluitTranslator, "encode_structure", lambda self, x: 0 * structure(self, x))
    run = train(folder, out=tmp_path / "run", **{**TINY, "score_every": 1, "steps": 4})
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("the generator ignores its source") == 1
    assert "warning: step 2: the generator ignores its source" in told
    warned = [entry["step"] for entry in read_log(run / "log.jsonl") if "warning" in entry]
    assert warned == [2, 3, 4]
    assert not (run / "best").exists()


def test_the_best_model_is_the_one_of_the_lowest_score(straight: Path) -> None:
    scores = {e["step"]: e["realism"] for e in read_log(straight / "log.jsonl") if "realism" in e}
    _, card = weights.load(straight / "best", CONFIGS)
    assert card["steps"] == min(scores, key=lambda step: scores[step])
    assert card["score"] == min(scores.values())
