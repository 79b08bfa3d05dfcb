"""Models on the Hugging Face Hub, or on whatever server HF_ENDPOINT names: fetched from it, handed to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluit.core.errors import UserError
from cluit.core.files import disk_is_full
from cluit.core.release import release
from cluit.core.weights import about_pickles
from cluit.export.weights import CARD, WEIGHTS

SCHEME = "hf://"
ID = re.compile(r"(?:hf://)?(\w[\w.-]*/\w[\w.-]*)(?:@(\S+))?", re.ASCII)
README = "README.md"
SAMPLE = "sample.png"
"""Held-out pictures, their references and translations, which the README shows."""

FETCHED = (WEIGHTS, CARD, README)
HANDED_IN = (*FETCHED, SAMPLE)

Token = str | bool | None
"""Of the hub: itself, None for the one that `hf auth login` or HF_TOKEN has left, False for none."""


@dataclass(frozen=True)
class HubId:
    """A model's repository, ``user/name``, and where it is named one of its revisions."""

    repo: str
    revision: str | None = None
    """A branch, a tag or a commit; by default the newest state."""

    @classmethod
    def read(cls, text: str) -> Self:
        """From ``user/name``, ``hf://user/name`` or either with ``@revision``. UserError for other texts."""
        found = ID.fullmatch(text)
        if not found:
            raise UserError(
                f"{text!r} names no model on the hub; write {SCHEME}user/name or {SCHEME}user/name@revision"
            )
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def address() -> str:
    """Of the hub, asked anew each time: huggingface_hub itself looks at HF_ENDPOINT once."""
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def download(model: HubId, token: Token = None) -> Path:
    """The folder, in the hub's cache on this machine, that holds ``model``: two files and its README.

    No other file of the repository is fetched. Without a connection the state that was fetched last serves.
    UserError for whatever goes wrong, and for a repository that holds no model.
    """
    from huggingface_hub import HfApi, snapshot_download

    with hub_errors(model):
        folder = Path(
            snapshot_download(
                model.repo, revision=model.revision, allow_patterns=list(FETCHED), token=token,
                endpoint=address(), library_name="cluit", library_version=release(),
            )
        )  # fmt: skip
        if (folder / WEIGHTS).is_file() and (folder / CARD).is_file():
            return folder
        names = HfApi(address(), token=token).list_repo_files(model.repo, revision=model.revision)
    raise UserError(
        f"{model} holds no model of cluit ({WEIGHTS} and {CARD}){about_pickles(names)}; name another"
    )


def upload(folder: Path, model: HubId, *, private: bool = False, token: Token = None) -> str:
    """Hand the files of a model in ``folder`` in as one commit, and return the address of its page.

    The repository is made if need be; what else it holds stays, and what it held before stays in its history.
    private: nobody else may see it; UserError, with nothing handed in, where it is public already.
    """
    from huggingface_hub import HfApi

    if model.revision:
        raise UserError(f"a model is handed in as the newest state; leave out @{model.revision}")
    api = HfApi(address(), token=token, library_name="cluit", library_version=release())
    with hub_errors(model):
        page = api.create_repo(model.repo, private=private or None, exist_ok=True)
        if private and not api.model_info(model.repo).private:
            raise UserError(f"{model} is public already; make it private on {page} first, or name another")
        api.upload_folder(
            repo_id=model.repo, folder_path=folder, allow_patterns=list(HANDED_IN),
            delete_patterns=[SAMPLE], commit_message=f"A model of cluit {release()}",
        )  # fmt: skip
    return str(page)


@contextmanager
def hub_errors(model: HubId) -> Iterator[None]:
    """Turn whatever the hub or the way to it refuses into a UserError."""
    from huggingface_hub.errors import HfHubHTTPError

    # The first bases are what the HTTP library raises, of which there are three by the hub's version.
    known = (*HfHubHTTPError.__bases__, OSError, ValueError, RuntimeError)
    try:
        yield
    except Exception as error:
        if not isinstance(error, known):
            raise
        raise UserError(sentence(model, error)) from error


def sentence(model: HubId, error: BaseException) -> str:
    """What went wrong and what to do."""
    from huggingface_hub import errors

    if disk_is_full(error):
        return f"the disk is full; free some space for {model} and try again"
    wrappers = (errors.LocalEntryNotFoundError, RuntimeError)  # "not found here either", "while uploading"
    while isinstance(error, wrappers) and error.__cause__ is not None:
        error = error.__cause__
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    said = (
        " ".join(str(getattr(error, "server_message", None) or error).split())[:200] or type(error).__name__
    )
    login = "log in with `hf auth login`, or set HF_TOKEN"
    match error:
        case errors.OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set and {model} is not on this machine; unset it to fetch the model"
        case errors.LocalTokenNotFoundError():
            return f"there is no token of the hub on this machine; {login}"
        case errors.GatedRepoError():
            page = f"{address()}/{model.repo}"
            return f"{model} is gated; ask for access on {page}, then {login}"
        case errors.RevisionNotFoundError():
            return f"{SCHEME}{model.repo} has no revision {model.revision}; name one that it has"
        case errors.RepositoryNotFoundError():
            return f"there is no {model} that you may see; check its name, or {login}, if it is private"
    if status == 401:
        return f"the hub does not know who asks for {model} ({said}); check its name, or {login}"
    if status == 403:
        return f"the hub forbids that with {model} ({said}); {login} with a token that may do it"
    if status is not None and status >= 500:
        return f"the hub is out of order (status {status}); try again later"
    if status is not None or isinstance(error, ValueError):
        return f"the hub refuses {model}: {said}"
    return f"cannot reach {address()} for {model} ({said}); look at the connection and try again"
