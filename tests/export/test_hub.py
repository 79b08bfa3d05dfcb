"""Models are fetched from the hub and handed to it; whatever goes wrong is one sentence."""

import pickle
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub, Repo, sha
from huggingface_hub import constants
from malformed import Trap

from cluit.core.errors import UserError
from cluit.export.hub import HubId, download, upload

# huggingface_hub sends small files in a way that its own HTTP library would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")

MODEL = {"model.safetensors": b"weights", "model.json": b"{}", "README.md": b"# A model"}
ID = HubId("me/animals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a model that is to be handed in."""
    (tmp_path / "model").mkdir()
    for name, data in MODEL.items():
        (tmp_path / "model" / name).write_bytes(data)
    return tmp_path / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("text", ["me/animals", "hf://me/animals"])
def test_an_id_is_a_user_and_a_name(text: str) -> None:
    assert HubId.read(text) == ID
    assert HubId.read(f"{text}@refs/pr/1") == HubId("me/animals", "refs/pr/1")
    assert HubId.read(str(HubId("me/animals", "v1"))) == HubId("me/animals", "v1")


@pytest.mark.parametrize(
    "text", ["", "animals", "hf://animals", "a/b/c", "../b", "me/", "me/a b", "me/a@", "/a"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    with pytest.raises(UserError, match="names no model on the hub"):
        HubId.read(text)


def test_only_the_files_of_a_model_are_fetched(hub: Hub) -> None:
    hub.repos["me/animals"] = Repo([{**MODEL, "pytorch_model.bin": b"pickle", "run.py": b"code"}])
    assert contents(download(ID)) == MODEL
    assert {path.rsplit("/", 1)[1] for path in hub.asked if "/resolve/" in path} == {*MODEL}


def test_a_revision_is_a_state_of_its_own(hub: Hub) -> None:
    hub.repos["me/animals"] = Repo([MODEL, {**MODEL, "model.json": b"[]"}])
    assert contents(download(ID))["model.json"] == b"[]"
    assert contents(download(HubId(ID.repo, sha(0)))) == MODEL
    with pytest.raises(UserError, match="hf://me/animals has no revision v9"):
        download(HubId(ID.repo, "v9"))


def test_without_a_connection_the_last_state_serves(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos["me/animals"] = Repo([MODEL])
    download(ID)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert contents(download(ID)) == MODEL
    with pytest.raises(UserError, match=r"cannot reach http://127\.0\.0\.1:9 for hf://me/other"):
        download(HubId("me/other"))


def test_the_hub_may_be_switched_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set and hf://me/animals is not on this machine"):
        download(ID)
    assert not hub.asked


def test_a_private_model_takes_a_token(hub: Hub) -> None:
    hub.repos["me/animals"] = Repo([MODEL], private=True)
    with pytest.raises(UserError, match="there is no hf://me/animals that you may see"):
        download(ID)
    with pytest.raises(UserError, match=r"does not know who asks.*Invalid credentials"):
        download(ID, "hf_wrong")
    with pytest.raises(UserError, match="no token of the hub on this machine"):
        download(ID, token=True)
    assert contents(download(ID, TOKEN)) == MODEL


def test_a_gated_model_says_where_to_ask(hub: Hub) -> None:
    hub.repos["me/animals"] = Repo([MODEL], gated=True)
    with pytest.raises(UserError, match=f"is gated; ask for access on {hub.address}/me/animals"):
        download(ID)
    assert contents(download(ID, TOKEN)) == MODEL


@pytest.mark.parametrize(
    ("status", "said"),
    [(500, "out of order"), (403, "forbids"), (401, "does not know who asks"), (418, "refuses")],
)
def test_an_unwilling_server_is_one_sentence(hub: Hub, status: int, said: str) -> None:
    hub.status = status
    with pytest.raises(UserError, match=said) as raised:
        download(ID)
    assert "\n" not in str(raised.value)


def test_a_repository_of_pickles_is_named_and_nothing_of_it_fetched(hub: Hub, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "executed"))
    hub.repos["me/animals"] = Repo([{"pytorch_model.bin": trap, "config.json": b"{}"}])
    with pytest.raises(UserError, match=r"holds no model of cluit .*pytorch_model\.bin: cluit never opens"):
        download(ID)
    assert not (tmp_path / "executed").exists()
    assert not [path for path in hub.asked if "/resolve/" in path]


def test_what_is_handed_in_is_what_is_fetched(hub: Hub, folder: Path) -> None:
    (folder / "notes.txt").write_text("private")
    assert upload(folder, ID, token=TOKEN) == f"{hub.address}/me/animals"
    assert hub.repos["me/animals"].commits[-1] == {".gitattributes": b"", **MODEL}
    assert not hub.repos["me/animals"].private
    assert contents(download(ID)) == MODEL


def test_handing_in_again_keeps_what_is_not_of_the_model_and_the_history(hub: Hub, folder: Path) -> None:
    before = {**MODEL, "sample.png": b"pictures", "paper.pdf": b"words", "README.md": b"# Before"}
    hub.repos["me/animals"] = Repo([before])
    upload(folder, ID, token=TOKEN)
    assert hub.repos["me/animals"].commits == [before, {**MODEL, "paper.pdf": b"words"}]


def test_a_private_model_is_not_handed_into_a_public_repository(hub: Hub, folder: Path) -> None:
    upload(folder, HubId("me/secret"), private=True, token=TOKEN)
    assert hub.repos["me/secret"].private
    hub.repos["me/animals"] = Repo()
    with pytest.raises(UserError, match="hf://me/animals is public already"):
        upload(folder, ID, private=True, token=TOKEN)
    assert len(hub.repos["me/animals"].commits) == 1


@pytest.mark.parametrize(
    ("model", "token", "said"),
    [
        (ID, None, "does not know who asks for hf://me/animals"),
        (ID, "hf_wrong", "does not know who asks"),
        (HubId("you/animals"), TOKEN, "forbids that with hf://you/animals .*no rights"),
        (HubId("me/animals", "v1"), TOKEN, "leave out @v1"),
    ],
)
def test_who_may_not_hand_in_is_told_so(
    hub: Hub, folder: Path, model: HubId, token: str | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        upload(folder, model, token=token)
    assert not hub.repos


def test_a_card_that_the_hub_refuses_is_one_sentence(hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: nonsense\n---\n")
    with pytest.raises(UserError, match=r'refuses hf://me/animals: .*"license" must be one of') as raised:
        upload(folder, ID, token=TOKEN)
    assert "\n" not in str(raised.value)
    assert len(hub.repos["me/animals"].commits) == 1


def test_handing_in_without_a_connection_is_one_sentence(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot reach http://127\.0\.0\.1:9"):
        upload(folder, ID, token=TOKEN)
