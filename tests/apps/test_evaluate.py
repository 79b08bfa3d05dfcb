"""The protocol from the command's side: what is written, what is said, and what does not depend on what."""

import errno
import html
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cluit.apps import evaluate_page, evaluation_set
from cluit.apps.api import load
from cluit.apps.evaluate import evaluate
from cluit.apps.examination import Job
from cluit.core.errors import UserError
from cluit.core.files import LOCK, disk_errors
from cluit.core.images import as_picture
from cluit.data import folder as folder_module
from cluit.data.factors import SPECIES
from cluit.data.folder import ImageFolder
from cluit.data.portrait_folder import ARGUMENTS, write_folder
from cluit.evaluation.oracle import Oracle, save_oracle
from cluit.evaluation.protocol import Pairs, random_pairs
from cluit.methods.cluit.networks import CluitTranslator

Run = Callable[..., dict[str, Any]]
ANSWERS = ["model", "source", "reference", "recoloured source", "average"]


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty cats and dogs in two subfolders, with a table of their factors, but not known as portraits."""
    folder = tmp_path_factory.mktemp("animals") / "test"
    write_folder(folder, 30, 32, split="test", species_weights={"cat": 1, "dog": 1})
    (folder / ARGUMENTS).unlink()
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evaluation_set, "PORTRAITS_COUNT", 60)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run(tiny_model: Path, animals: Path, tmp_path: Path) -> Run:
    def run(data: str | Path = animals, out: str = "out", **options: Any) -> dict[str, Any]:
        usual: Any = {"features": ["random"], "each": 3, "precision": "float32", "device": "cpu"}
        return evaluate(tiny_model, data, out=tmp_path / out, **(usual | options))

    return run


def oracle(folder: Path, classes: list[str], multi: bool = False) -> Path:
    save_oracle(folder, Oracle(classes, multi=multi, depth=18, width=2, image_size=32), {})
    return folder


def numbers(value: Any) -> list[float]:
    """All numbers in nested JSON values."""
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers(inner)]
    return [value] if isinstance(value, int | float) else []


def same(one: Any, other: Any, relative: float = 1e-9) -> bool:
    """But for the rounding of sums."""
    return numbers(one) == pytest.approx(numbers(other), rel=relative, abs=1e-3 * relative)


def test_every_answer_has_every_score_and_the_page_says_so(run: Run, tmp_path: Path) -> None:
    record = run(oracle=oracle(tmp_path / "oracle", ["cat", "dog"]), features=["random", "oracle"])
    assert list(record["scores"]) == ANSWERS
    for scores in record["scores"].values():
        assert set(scores["networks"]) == {"random", "oracle:resnet18-width2"}
        for found in scores["networks"].values():
            assert found["mean_class_frechet"] == pytest.approx(sum(found["class_frechet"].values()) / 2)
        assert set(scores["oracle"]["each"]) == {"cat", "dog"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(words in page for words in ["model", "Distances under random", "<rect", "return average"])
    assert "://" not in page  # but a picture's base64 may well spell http
    twin = json.loads((tmp_path / "out" / "index.json").read_text())
    assert twin["scores"]["model"]["structure_kept"] == record["scores"]["model"]["structure_kept"]
    assert {"settings", "versions", "timings", "machine"} <= set(twin)


def test_the_card_of_a_model_takes_its_scores(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    record = run(limit=3, each=2)
    load(tiny_model, device="cpu").save_pretrained(tmp_path / "shared", scores=tmp_path / "out")
    readme = (tmp_path / "shared" / "README.md").read_text()
    assert f"| model | {record['scores']['model']['structure_kept']:.4g} |" in readme
    assert "3 sources, each with 2 references, at 32 px" in readme


def test_its_translations_are_those_of_the_library(tiny_model: Path, animals: Path) -> None:
    words = Job(str(tiny_model), str(animals), None, ("random",), None, False, "cpu", "float32", 4)
    painter = load(tiny_model, device="cpu", precision="float32")
    examiner = replace(words.examiner(), sets=words.open(32))
    pictures = examiner.sets[0].batch(range(5))
    outputs = examiner.paint([3, 0], painter.styles(list(pictures))[torch.tensor([[1, 2, 4], [3, 2, 1]])])
    for row, source in zip(outputs, (3, 0), strict=True):
        for output, reference in zip(row, (1, 2, 4) if source else (3, 2, 1), strict=True):
            expected = painter.translate(pictures[source], pictures[reference])
            assert (output.permute(1, 2, 0).int() - torch.tensor(np.array(expected)).int()).abs().max() <= 1


def test_the_command_on_the_page_gives_the_same_again(run: Run, animals: Path, tmp_path: Path) -> None:
    command = run(limit=3, trivial=False)["command"]
    assert command.startswith("cluit evaluate ")
    for flags in (f"--data {animals}", "--each 3", "--limit 3", "--features random", "--no-trivial"):
        assert flags in command
    assert "--seed" not in command
    flags = command[command.index("--each") :]  # before them are this machine's folders
    assert flags in html.unescape((tmp_path / "out" / "index.html").read_text())


def test_trivial_answers_score_as_they_must(run: Run) -> None:
    scores = run(each=29)["scores"]
    source, reference = scores["source"], scores["reference"]
    assert source["structure_kept"] == pytest.approx(1, abs=1e-4)
    assert source["networks"]["random"]["diversity"] == 0
    assert reference["networks"]["random"]["diversity"] > 0
    assert source["networks"]["random"]["frechet"] == pytest.approx(0, abs=1e-2)
    mean_class = [answer["networks"]["random"]["mean_class_frechet"] for answer in (source, reference)]
    assert mean_class[0] > 2 * mean_class[1]
    assert "true translation" not in scores


def test_the_result_does_not_depend_on_how_many_processes_there_are(run: Run, tmp_path: Path) -> None:
    one = run(out="one")
    two = run(out="two", workers=2)
    assert same(one["scores"], two["scores"])
    assert (tmp_path / "one" / "pairs.json").read_bytes() == (tmp_path / "two" / "pairs.json").read_bytes()


def test_kept_features_give_the_same_scores_and_are_not_computed_again(run: Run, cache: Path) -> None:
    first = run(out="one")
    assert len(list((cache / "cluit" / "features").iterdir())) == 1
    assert [path.name for path in (cache / "cluit" / "pixels").iterdir()] == [
        LOCK
    ]  # decoded pictures are gone
    again = run(out="two")
    assert same(first["scores"], again["scores"])
    real = "features of real pictures: random"
    assert first["timings"]["phases"][real]["pictures"] == 30
    assert real not in again["timings"]["phases"]


def test_pictures_are_decoded_and_encoded_once_each(
    run: Run, animals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"picture_of": list[Any](), "encode_style": list[Any](), "encode_structure": list[Any]()}

    def counted(owner: Any, name: str, key: Callable[[Any], list[Any]]) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            seen[name] += key(arguments)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    counted(folder_module, "picture_of", lambda arguments: [arguments[1]])
    for half in ("encode_style", "encode_structure"):
        counted(CluitTranslator, half, lambda arguments: [one.numpy().tobytes() for one in arguments[1]])
    monkeypatch.setattr("cluit.apps.evaluate.write", lambda *_: None)  # pages paint what they show again
    phases = run(limit=7)["timings"]["phases"]
    assert all(len(set(pictures)) == len(pictures) for pictures in seen.values())
    assert {name: len(pictures) for name, pictures in seen.items()} == {
        "picture_of": phases["decode"]["pictures"],
        "encode_style": phases["encode styles"]["pictures"],
        "encode_structure": phases["encode structures"]["pictures"],
    }
    names = [path.relative_to(animals).as_posix() for path in animals.rglob("*.png")]
    worn = {name for row in random_pairs(names, 3, limit=7).references for name in row}
    assert [len(pictures) for pictures in seen.values()] == [30, len(worn), 7]


def test_every_phase_says_what_it_took(run: Run, tmp_path: Path) -> None:
    timings = run(oracle=oracle(tmp_path / "oracle", ["cat", "dog"]), limit=4)["timings"]
    pictures = {phase: one["pictures"] for phase, one in timings["phases"].items()}
    computed = 4 * 3 * 3  # four sources, three references, three answers that are no test pictures
    assert pictures["decode outputs"] == 12
    assert pictures["features of outputs: random"] == pictures["oracle on outputs"] == computed
    assert pictures["oracle on real pictures"] == 30
    assert pictures["structure kept"] == pictures["diversity"] == 4 * 3 * len(ANSWERS)
    spent = sum(one["seconds"] for one in timings["phases"].values())
    assert 0 < spent < timings["wall"]
    assert timings["peak_memory"]["process"] > 2**20


def test_an_oracle_is_asked_once_whose_features_are_wanted_too(run: Run, tmp_path: Path) -> None:
    judge = oracle(tmp_path / "oracle", ["cat", "dog"])
    apart, together = run(oracle=judge), run(out="two", oracle=judge, features=["random", "oracle"])
    assert "oracle on outputs" not in together["timings"]["phases"]
    for answer in ANSWERS:
        assert apart["scores"][answer]["oracle"] == together["scores"][answer]["oracle"]


def test_a_file_of_pairs_says_who_meets_whom(run: Run, animals: Path, tmp_path: Path) -> None:
    names = [path.relative_to(animals).as_posix() for path in ImageFolder(animals, 32).paths]
    pairs = Pairs((names[3], names[0]), ((names[1], names[2]), (names[5], names[4])))
    pairs.write(tmp_path / "mine.json")
    record = run(pairs=tmp_path / "mine.json", each=10)
    assert (record["test"]["sources"], record["test"]["each"]) == (2, 2)
    assert Pairs.read(tmp_path / "out" / "pairs.json") == pairs


def test_portraits_are_scored_against_the_true_translation(run: Run) -> None:
    record = run("portraits", limit=4)
    assert list(record["scores"]) == [*ANSWERS, "true translation"]
    truth = record["scores"]["true translation"]["truth"]
    assert truth["mae"] == 0
    assert truth["species"] > 0.8
    assert record["scores"]["source"]["truth"]["mae_face"] > 20
    assert record["test"]["classes"] == SPECIES


def test_portraits_and_their_folder_score_alike(run: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", 60, 32, split="test")
    drawn, written = run("portraits", "a", limit=3), run(tmp_path / "folder", "b", limit=3)
    assert (tmp_path / "a" / "pairs.json").read_bytes() == (tmp_path / "b" / "pairs.json").read_bytes()
    for answer in ANSWERS:
        # the folder is in another order, and networks round by who else is in a batch: a level here and there
        assert same(drawn["scores"][answer]["networks"], written["scores"][answer]["networks"], 1e-4)


def test_a_folder_of_portraits_is_scored_against_its_true_translations(run: Run, tmp_path: Path) -> None:
    coarse = {"cat": "pet", "dog": "pet"}
    write_folder(tmp_path / "known", 30, 32, split="test", coarse=coarse)
    scores = run(tmp_path / "known", "truth")["scores"]
    assert list(scores) == [*ANSWERS, "true translation"]
    assert scores["true translation"]["truth"]["mae"] == 0
    assert scores["true translation"]["species"]["coarse"]["pet"]["reference"] == 1
    assert scores["source"]["species"]["coarse"]["pet"]["reference"] == 0
    (tmp_path / "known" / ARGUMENTS).unlink()
    assert run(tmp_path / "known", "plain")["scores"]["model"]["truth"] is None


def test_attributes_come_from_a_table_or_are_known_of_portraits(
    run: Run, animals: Path, tmp_path: Path
) -> None:
    folder = oracle(tmp_path / "oracle", ["glasses", "striped"], multi=True)
    with pytest.raises(UserError, match="add --attributes"):
        run(oracle=folder)
    found = run(oracle=folder, attributes=animals / "factors.csv")["scores"]["model"]["oracle"]
    assert list(found["each"]) == ["glasses", "striped"]
    assert found["accuracy"] == pytest.approx(sum(found["each"].values()) / 2)
    drawn = run("portraits", "drawn", oracle=folder, limit=2)["scores"]["reference"]["oracle"]
    assert drawn["pictures"] == 6


def test_the_worst_outputs_are_shown_with_sources_and_references(run: Run, tmp_path: Path) -> None:
    run(oracle=oracle(tmp_path / "oracle", ["cat", "dog"]))
    twin = json.loads((tmp_path / "out" / "worst.json").read_text())
    assert len(twin["failures"]) == 4
    pairs = Pairs.read(tmp_path / "out" / "pairs.json")
    known = dict(zip(pairs.sources, pairs.references, strict=True))
    for failure in twin["failures"]:
        values = [row["value"] for row in failure["worst"]]
        assert values in (sorted(values), sorted(values, reverse=True))
        assert len({row["source"] for row in failure["worst"]}) == 12
        assert all(row["reference"] in known[row["source"]] for row in failure["worst"])
    assert (tmp_path / "out" / "worst.html").read_text().count("data:image/png") == 4


def test_what_a_reader_must_know_is_said(run: Run, animals: Path, tmp_path: Path) -> None:
    assert any("biased upwards" in note and "144" in note for note in run()["notes"])
    flat = tmp_path / "flat"
    flat.mkdir()
    for i in range(6):
        as_picture(torch.randint(0, 256, (3, 20 + i, 30), dtype=torch.uint8)).save(flat / f"{i}.png")
    (flat / "bad.png").write_text("no picture")
    record = run(flat, "flat_out")
    notes = " ".join(record["notes"])
    assert "bad.png" in notes
    assert "No distances by class" in notes
    assert "there are too few pictures, 6. Compare" in notes
    assert record["scores"]["model"]["networks"]["random"]["mean_class_frechet"] is None
    (flat / "one").mkdir()
    for path in flat.glob("?.png"):
        path.rename(flat / "one" / path.name)
    assert any("only the class 'one'" in note for note in run(flat, "one_out")["notes"])


def test_a_class_without_a_distance_is_named(run: Run) -> None:
    record = run(each=2, limit=1)
    found = record["scores"]["model"]["networks"]["random"]["class_frechet"]
    missing = {"cat", "dog"} - set(found)
    assert missing  # two references of one picture cannot be two of either class
    assert all(any(name in note for note in record["notes"] if "fewer than two" in note) for name in missing)


def test_a_file_that_shows_its_damage_late_is_nobodys_reference(
    run: Run, animals: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    for i in range(12):
        picture = as_picture(torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8))
        picture.save(folder / "ab"[i % 2] / f"{i:02d}.png")
    data = (folder / "a" / "04.png").read_bytes()
    (folder / "a" / "04.png").write_bytes(data[:500] + bytes(len(data) - 540) + data[-40:])
    with pytest.warns(UserWarning, match=r"04\.png"):
        record = run(folder)
    pairs = Pairs.read(tmp_path / "out" / "pairs.json")
    assert "a/04.png" not in pairs.sources
    assert (len(pairs.sources), record["test"]["pictures"], record["test"]["real"]) == (11, 11, 11)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"each": 30}, "need at least 31 pictures, there are 30"),
        ({"each": 0}, "at least one reference, not 0"),
        ({"each": 1, "limit": 1}, "at least 2 translations"),
        ({"features": ["vgg"]}, "unknown feature network"),
        ({"features": ["oracle"]}, "add --oracle"),
        ({"features": ["random", "random"]}, "two feature networks have one name"),
        ({"workers": 0}, "at least 1 worker"),
        ({"oracle": "nowhere"}, "nowhere"),
        ({"pairs": "nowhere.json", "each": 10}, "cannot read nowhere.json"),
        ({"pairs": "mine.json"}, "leave out --limit and --each"),
        ({"pairs": "mine.json", "each": 10, "limit": 3}, "leave out --limit and --each"),
        ({"attributes": "nowhere.csv"}, "--attributes is for an oracle of attributes"),
        ({"out": "/dev/null/out"}, "cannot write"),
        ({"data": "nowhere"}, "there is no folder at nowhere"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    run: Run, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        run(**options)
    assert not (tmp_path / "out").exists()


def test_an_oracle_of_other_classes_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dog, which are not among cat, human"):
        run(oracle=oracle(tmp_path / "oracle", ["cat", "human"]))
    flat = tmp_path / "flat"
    flat.mkdir()
    for i in range(6):
        as_picture(torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)).save(flat / f"{i}.png")
    with pytest.raises(UserError, match="has no class"):
        run(flat, oracle=oracle(tmp_path / "oracle2", ["cat", "human"]))


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    run(limit=3)
    before = (tmp_path / "out" / "index.html").read_bytes()
    with pytest.raises(UserError, match="already there"):
        run()
    assert (tmp_path / "out" / "index.html").read_bytes() == before


def test_what_would_become_a_test_picture_is_refused(run: Run, animals: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for out, data, real in ((".", tmp_path, None), ("pictures/out", animals, tmp_path / "pictures")):
        with pytest.raises(UserError, match="whose pictures it would add to"):
            run(data, out, real=real)


def test_an_evaluation_that_could_not_be_written_can_be_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, *_: Any) -> None:
        with disk_errors(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_page, "write", fill)
        with pytest.raises(UserError, match=rf"cannot write {tmp_path / 'out' / 'index.html'}: No space"):
            run(limit=2)
    assert not list((tmp_path / "out").iterdir())
    run(limit=2)


def test_distances_may_be_to_other_real_pictures(run: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 40, 32, species_weights={"cat": 1, "dog": 1})
    record = run(real=tmp_path / "train")
    assert record["test"]["real"] == 40
    assert record["scores"]["source"]["networks"]["random"]["frechet"] > 0.001
