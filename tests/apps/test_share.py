"""What is handed on is the model, with a card that says what it is and nothing that is nobody's business."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import TOKEN, Hub, Repo, sha
from malformed import change_card, change_weights
from PIL import Image
from safetensors.torch import load_file

import cluit
from cluit.apps.cli import main, parse
from cluit.apps.provenance import training_of
from cluit.apps.readme import clock
from cluit.apps.settings import as_yaml, checked, layered
from cluit.apps.train import absolute
from cluit.core.errors import UserError
from cluit.core.weights import fingerprint

# huggingface_hub sends small files in a way that its own HTTP library would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32"}
FILES = ["README.md", "model.json", "model.safetensors"]
SCORES = {"realism": 1.25, "source_effect": 0.5, "reference_effect": 0.75}


def make_run(run: Path, tiny_model: Path, data: str) -> Path:
    """As `cluit train` leaves one, with a model after 20 of 40 steps."""
    shutil.copytree(tiny_model, run / "best")
    change_card(steps=20)(run / "best")
    settings = {"data": data, "image_size": 32, "width": 8, "recipe": "small", "batch_size": 8, "steps": 40}
    (run / "settings.yaml").write_text(as_yaml(checked(settings)))
    lines: list[dict[str, Any]] = [
        {"step": 10, "seconds": 3000.5, "critic": 1.0},
        {"step": 20, "seconds": 5400.0, **SCORES},
        {"step": 40, "seconds": 9999.0, **SCORES, "realism": 3.5},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "grids").mkdir()
    for step in (20, 40):
        Image.new("RGB", (step, step)).save(run / "grids" / f"step-{step:08d}.png")
    return run


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", tiny_model, str(tmp_path / "secret" / "photos"))


@pytest.fixture
def scores(run: Path, tmp_path: Path) -> Path:
    """What an evaluation of the run left."""
    answer = {
        "networks": {"random": {"frechet": 12.5, "mean_class_frechet": None, "kernel": 0.25}},
        "structure_kept": 0.75,
        "oracle": {"accuracy": 0.875},
    }
    record = {
        "command": f"cluit evaluate {tmp_path}/secret/run --data portraits --out scores",
        "settings": {"data": str(tmp_path / "secret" / "test"), "model": "run"},
        "weights": fingerprint(cluit.load(run, **CPU).translator),
        "test": {"sources": 1200, "each": 10, "image_size": 32},
        "machine": "a small machine",
        "scores": {"model": answer, "source": {**answer, "oracle": None}},
    }
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "index.json").write_text(json.dumps(record))
    return tmp_path / "scores"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def front_matter(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_a_saved_model_is_the_model_with_what_the_run_knows(run: Path, tmp_path: Path) -> None:
    cluit.load(run, **CPU).save_pretrained(tmp_path / "out")
    assert names(tmp_path / "out") == FILES
    before, after = (load_file(folder / "model.safetensors") for folder in (run / "best", tmp_path / "out"))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert card["training"]["data"] == "photos"
    assert card["training"]["held_out_scores"] == {"step": 20, "scores": SCORES}
    text = (tmp_path / "out" / "README.md").read_text()
    assert "On the pictures of a folder called `photos`, for 20 steps of 8 pictures, in 90 minutes" in text
    assert "- Distance between real pictures and translations: realism 1.25 (" in text
    assert ": source_effect 0.5, reference_effect 0.75 (" in text
    assert "3.5" not in text, "the model is not that of step 40"
    assert "| width | 4 |" in text
    assert "secret" not in text + json.dumps(card)


def test_the_card_counts_minutes_and_hours() -> None:
    told = {50: "1 minute", 5400: "90 minutes", 7169: "119 minutes", 7190: "2.0 hours"}
    assert {seconds: clock(seconds) for seconds in told} == told


def test_the_command_of_the_card_trains_with_the_same_settings(run: Path) -> None:
    named = {
        "data": "/secret/photos", "held_out": "/secret/others", "recipe": "small", "width": 8, "seed": 3,
        "style_weight": 5.5, "crop_by": "area", "view_reference": False, "critic_width": None, "steps": 40,
    }  # fmt: skip
    (run / "settings.yaml").write_text(as_yaml(layered(named)))
    command = training_of(run, 20)["command"]
    assert "secret" not in command
    asked = parse(shlex.split(command)[1:]).keywords
    assert asked["data"] == "photos"
    again = layered({**asked["settings"], "data": "/secret/photos", "held_out": "/secret/others"})
    assert again == layered({**named, "steps": 20})


def test_a_model_that_is_saved_again_keeps_what_its_card_says(run: Path, tmp_path: Path) -> None:
    cluit.load(run, **CPU).save_pretrained(tmp_path / "one", license="mit")
    cluit.from_pretrained(tmp_path / "one", **CPU).save_pretrained(tmp_path / "two")
    one, two = ((tmp_path / name / "README.md").read_text() for name in ("one", "two"))
    assert two == one.replace("# one", "# two").replace('"one"', '"two"')


def test_no_licence_is_stated_unasked(run: Path, tmp_path: Path) -> None:
    painter = cluit.load(run, **CPU)
    painter.save_pretrained(tmp_path / "none")
    text = (tmp_path / "none" / "README.md").read_text()
    assert "license" not in front_matter(text)
    assert "## Licence\n\nNone is stated." in text
    painter.save_pretrained(tmp_path / "mit", license="mit")
    text = (tmp_path / "mit" / "README.md").read_text()
    assert front_matter(text)["license"] == "mit"
    assert text.endswith("## Licence\n\nmit\n")


def test_the_card_is_what_the_hub_sorts_by(run: Path, tmp_path: Path) -> None:
    cluit.load(run, **CPU).save_pretrained(tmp_path / "out", license="a: [b")
    assert front_matter((tmp_path / "out" / "README.md").read_text()) == {
        "license": "a: [b",
        "library_name": "cluit",
        "pipeline_tag": "image-to-image",
        "tags": ["image-to-image", "style-transfer", "gan", "cluit"],
    }


def test_pictures_are_shown_where_asked_or_drawn_and_nowhere_else(
    run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    painter = cluit.load(run, **CPU)
    painter.save_pretrained(tmp_path / "out", sample=True)
    assert names(tmp_path / "out") == [*FILES, "sample.png"]
    assert "(sample.png)\n\nHeld-out pictures after 20 steps" in (tmp_path / "out" / "README.md").read_text()
    with Image.open(tmp_path / "out" / "sample.png") as picture:
        assert picture.size == (20, 20), "the grid of the model's own step"
    painter.save_pretrained(tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == FILES, "an earlier model's grid is not the new one's"
    drawn = make_run(tmp_path / "drawn", tiny_model, "portraits")
    cluit.load(drawn, **CPU).save_pretrained(tmp_path / "open")
    assert "sample.png" in names(tmp_path / "open")
    with pytest.raises(UserError, match="no sample grid to show"):
        cluit.load(tiny_model, **CPU).save_pretrained(tmp_path / "nothing", sample=True)


def test_scores_come_with_their_command(run: Path, scores: Path, tmp_path: Path) -> None:
    cluit.load(run, **CPU).save_pretrained(tmp_path / "out", scores=scores)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "On the test pictures `test`: 1,200 sources, each with 10 references, at 32 px, on a small" in text
    assert "| answer | accuracy | structure kept | Fréchet, random | kernel, random |" in text
    assert "| model | 0.875 | 0.75 | 12.5 | 0.25 |" in text
    assert "| source | – | 0.75 | 12.5 | 0.25 |" in text
    assert "cluit evaluate …/run --data portraits --out scores" in text
    assert "secret" not in text


def test_scores_of_another_model_are_refused(run: Path, scores: Path, tmp_path: Path) -> None:
    change_weights(lambda weights: next(iter(weights.values())).add_(0.5))(run / "best")
    with pytest.raises(UserError, match="with other weights than these"):
        cluit.load(run, **CPU).save_pretrained(tmp_path / "out", scores=scores)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"command": "x"}', b'{"command": 3, "settings": 1}'])
def test_scores_that_are_none_are_refused(run: Path, scores: Path, tmp_path: Path, data: bytes) -> None:
    (scores / "index.json").write_bytes(data)
    with pytest.raises(UserError, match="holds no scores"):
        cluit.load(run, **CPU).save_pretrained(tmp_path / "out", scores=scores)
    with pytest.raises(UserError, match=r"cannot read .*absent"):
        cluit.load(run, **CPU).save_pretrained(tmp_path / "out", scores=tmp_path / "absent")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_unasked(run: Path, tmp_path: Path) -> None:
    painter = cluit.load(run, **CPU)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("my words")
    with pytest.raises(UserError, match=r"already holds README\.md"):
        painter.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "my words"


@pytest.mark.parametrize(
    "strange", [{"training": []}, {"training": {"count": "x", "data": "portraits"}}, {"steps": "x"}]
)
def test_a_strange_card_is_one_sentence(tiny_model: Path, tmp_path: Path, strange: dict[str, Any]) -> None:
    shutil.copytree(tiny_model, tmp_path / "strange")
    change_card(**strange)(tmp_path / "strange")
    with pytest.raises(UserError, match=r"model\.json of this model"):
        cluit.load(tmp_path / "strange", **CPU).save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_painter_without_a_card_cannot_be_saved(tiny_model: Path, tmp_path: Path) -> None:
    translator = cluit.load(tiny_model, **CPU).translator
    with pytest.raises(UserError, match="does not know its method"):
        cluit.Painter(translator, **CPU).save_pretrained(tmp_path / "out")


def test_a_model_goes_to_the_hub_and_back(run: Path, hub: Hub, tmp_path: Path) -> None:
    painter = cluit.load(run, **CPU)
    page = painter.push_to_hub("me/animals", token=TOKEN, license="mit")
    assert page == f"{hub.address}/me/animals"
    pushed = hub.repos["me/animals"].commits[-1]
    assert sorted(pushed) == [".gitattributes", *FILES]
    assert b'cluit.from_pretrained("me/animals")' in pushed["README.md"]
    fetched = cluit.from_pretrained("me/animals", **CPU)
    picture, other = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    assert fetched.translate(picture, other).tobytes() == painter.translate(picture, other).tobytes()
    assert fetched.card["license"] == "mit"


def test_a_folder_wins_over_the_hub(hub: Hub, tiny_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(tiny_model, tmp_path / "me" / "animals")
    monkeypatch.chdir(tmp_path)
    cluit.from_pretrained("me/animals", **CPU)
    cluit.load("me/animals", **CPU)
    assert not hub.asked
    with pytest.raises(UserError, match="leave revision out"):
        cluit.from_pretrained("me/animals", revision="v1", **CPU)
    with pytest.raises(UserError, match="there is no hf://me/animals"):
        cluit.load("hf://me/animals", **CPU)
    with pytest.raises(UserError, match="there is no model in me/others"):
        cluit.load("me/others", **CPU)  # which a typing error must not send to a server


def test_a_revision_may_be_part_of_the_name(hub: Hub, tiny_model: Path, run: Path) -> None:
    models = [
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (tiny_model, run / "best")
    ]
    hub.repos["me/animals"] = Repo(models)
    assert "steps" not in cluit.load(f"hf://me/animals@{sha(0)}", **CPU).card
    assert "steps" not in cluit.from_pretrained("me/animals", revision=sha(0), **CPU).card
    assert cluit.load("hf://me/animals", **CPU).card["steps"] == 20


def test_training_may_begin_with_a_model_on_the_hub() -> None:
    """A path is made absolute, as the run may be resumed from elsewhere; this is none."""
    assert absolute({"init_from": "hf://me/animals"}) == {"init_from": "hf://me/animals"}


def test_every_command_takes_a_model_on_the_hub(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    hub.repos["me/animals"] = Repo([{path.name: path.read_bytes() for path in tiny_model.iterdir()}])
    Image.new("RGB", (40, 40), "red").save(tmp_path / "cat.png")
    words = [str(tmp_path / name) for name in ("cat.png", "cat.png", "out.png")]
    main(["translate", "hf://me/animals", *words[:2], "--out", words[2]])
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (32, 32)


def test_the_command_hands_in_and_says_where(
    hub: Hub, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    main(["push", str(run), "me/animals", "--private", "--half", "--sample"])
    told = capsys.readouterr().out
    assert f"{hub.address}/me/animals\n" in told
    assert "states no licence" in told
    assert hub.repos["me/animals"].private
    assert "sample.png" in hub.repos["me/animals"].commits[-1]
    for words, said in ((["nowhere"], "names no model on the hub"), (["you/x"], "forbids")):
        with pytest.raises(SystemExit) as ended:
            main(["push", str(run), *words])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
