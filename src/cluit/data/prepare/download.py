"""A file from a URL, through broken connections: what has come stays, and is gone on from."""

import json
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors

TRIES = 5
"""How many times in a row may bring nothing."""
PAUSE = 1.0
"""Seconds before the second try; twice as many before each later one."""
TIMEOUT = 60.0
CHUNK = 2**20
GONE = range(400, 429)  # 429 asks for patience
"""Answers that no patience changes: not found, forbidden and the like."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and how many there will be where the server says so."""


class _BrokenError(Exception):
    """The connection broke, or was not made; another try may go better."""


def is_url(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


def file_name(url: str) -> str:
    """What the file at a URL is called on the disk."""
    return PurePosixPath(unquote(urlsplit(url).path)).name.lstrip(".") or "archive.zip"


def download(url: str, target: Path, elsewhere: str, progress: Progress) -> None:
    """Fetch ``url`` into the file ``target``, which appears once it is whole.

    Until then its bytes are in ``TARGET.part``; the same call later goes on from there (HTTP Range), or
    begins anew where the server's file has changed or the server cannot send parts.

    UserError for a link that is dead or leads to a web page, which says to look ``elsewhere``; for a
    connection that brings nothing any more; and where the disk refuses.
    """
    part = target.with_name(f"{target.name}.part")
    tries = 0
    while True:
        before = _size(part)
        try:
            _fetch(url, part, elsewhere, progress)
            break
        except _BrokenError as error:
            tries = 1 if _size(part) > before else tries + 1
            if tries >= TRIES:
                kept = f" ({_size(part):,} bytes are kept, the same command goes on from there)"
                raise UserError(
                    f"cannot download {url}: {error}{kept if part.exists() else ''}; try again later, or "
                    f"look for it at {elsewhere} and name the file that you got"
                ) from error
            time.sleep(PAUSE * 2 ** (tries - 1))
    with disk_errors(target):
        part.replace(target)
        _card(part).unlink(missing_ok=True)


def _fetch(url: str, part: Path, elsewhere: str, progress: Progress) -> None:
    """Get what ``part`` still lacks. _BrokenError where that stops before the end."""
    have, card = _size(part), _read_card(part, url)
    if not card.get("total"):  # there is no telling what belongs to it
        have = 0
    headers = {"User-Agent": "cluit", "Accept-Encoding": "identity"}
    if have:
        if have == card["total"]:
            return
        headers["Range"] = f"bytes={have}-"
        if card["tag"]:
            headers["If-Range"] = card["tag"]
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        raise _refusal(error, url, part, elsewhere) from error
    except (InvalidURL, ValueError) as error:
        raise UserError(f"{url} is not a URL ({error}); name a zip, a folder or a URL") from error
    except (OSError, HTTPException) as error:
        raise _BrokenError(str(getattr(error, "reason", None) or error)) from error
    with response, disk_errors(part):
        if response.headers.get_content_type() == "text/html":
            raise UserError(
                f"{url} leads to a web page, not to a file; open it in a browser (or {elsewhere}), download "
                "the archive there and name the file"
            )
        if response.status != 206:
            have, total = 0, _number(response.headers["Content-Length"])
            tag = response.headers["ETag"] or ""
            tag = (response.headers["Last-Modified"] or "") if tag[:2] in ("", "W/") else tag
            part.unlink(missing_ok=True)
            with atomic_file(_card(part)) as file:
                file.write(json.dumps({"url": url, "tag": tag, "total": total}).encode())
        else:
            total = card["total"]
            if response.headers["Content-Range"] != f"bytes {have}-{total - 1}/{total}":
                part.unlink()
                raise _BrokenError("the file there has changed")
        _receive(response, part, have, total, progress)


def _receive(response: HTTPResponse, part: Path, have: int, total: int | None, progress: Progress) -> None:
    """Add what comes to the first ``have`` bytes of ``part``."""
    progress(have, total)
    with part.open("ab") as file:
        while True:
            try:
                chunk = response.read1(CHUNK)
            except (OSError, HTTPException) as error:
                raise _BrokenError(str(error) or type(error).__name__) from error
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total is not None and have != total:
        raise _BrokenError(f"the connection ended after {have:,} of {total:,} bytes")


def _refusal(error: HTTPError, url: str, part: Path, elsewhere: str) -> Exception:
    """What an error of the server comes to."""
    if error.code == 416:  # no such part: the file there has become shorter
        part.unlink(missing_ok=True)
        return _BrokenError("the file there has changed")
    if error.code in GONE:
        return UserError(
            f"{url} cannot be had any more ({error.code} {error.reason}); look for the archive at "
            f"{elsewhere} and name the file or the URL that you find"
        )
    return _BrokenError(f"{error.code} {error.reason}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _card(part: Path) -> Path:
    """Beside a part, what it is a part of."""
    return part.with_name(f"{part.name}.json")


def _read_card(part: Path, url: str) -> dict[str, Any]:
    """The card of a part of this very URL's file; empty where there is none."""
    try:
        card = json.loads(_card(part).read_bytes())
        return card if card["url"] == url else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
