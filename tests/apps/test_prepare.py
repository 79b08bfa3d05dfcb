"""`cluit data prepare` and `cluit data shards`, as a user calls them."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from cluit.apps.cli import main
from cluit.apps.pictures import Share, open_data
from cluit.apps.settings import layered
from cluit.core.images import as_picture
from cluit.data.decode import open_picture
from cluit.data.folder import ImageFolder
from cluit.data.shard_folder import ShardFolder

CLASSES = ("cat", "dog", "wild")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """AFHQ's layout, of ten small pictures a class."""
    for label in CLASSES:
        for i in range(12):
            path = tmp_path / "afhq" / ("val" if i > 9 else "train") / label / f"flickr.{label}_{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            as_picture(torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)).save(path)
    return tmp_path / "afhq"


@pytest.fixture
def archive(tmp_path: Path, folder: Path) -> Path:
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "afhq.zip", "w") as file:
        for path in sorted(folder.rglob("*.jpg")):
            file.write(path, path.relative_to(folder.parent))
    return tmp_path / "served" / "afhq.zip"


@pytest.fixture
def address(archive: Path) -> Iterator[str]:
    """Where a server on this machine has the archive."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = partial(Quiet, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def run(*words: object) -> int:
    """The exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_an_archive_becomes_folders_and_other_counts_are_told(
    archive: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "prepare", "afhq", archive, tmp_path / "out") == 0
    written = {
        path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")
    }
    assert written == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.jpg")}
    told = capsys.readouterr()
    assert "36 pictures in" in told.out
    assert "train/cat: 10\n" in told.out
    assert "warning: train/cat has 10 pictures, its authors count 5,153\n" in told.err
    assert "warning: val/wild has 2 pictures, its authors count 500\n" in told.err
    assert ImageFolder(tmp_path / "out" / "train", 8).classes == list(CLASSES)


def test_a_folder_is_an_archive_too_and_pictures_are_resized(folder: Path, tmp_path: Path) -> None:
    assert run("data", "prepare", "afhq", folder, tmp_path / "out", "--size", 16) == 0
    assert {open_picture(path).size for path in (tmp_path / "out").rglob("*.jpg")} == {(16, 16)}


def test_a_url_is_downloaded_beside_the_folder_and_checked(
    address: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    words = "data", "prepare", "afhq", f"{address}/afhq.zip", tmp_path / "sets" / "out"
    assert run(*words, "--sha256", "0" * 64) == 2
    assert f"has the SHA-256 {checksum}, not {'0' * 64}" in " ".join(capsys.readouterr().err.split())
    assert run(*words, "--sha256", checksum) == 0
    assert "is there already" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["afhq.zip", "out"]
    assert (tmp_path / "sets" / "afhq.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("afhq", "{address}/gone.zip", "out"),
            "look for the archive at https://github.com/clovaai/stargan-v2",
        ),
        (("afhq", "{folder}/train", "out"), "that is not AFHQ"),
        (("celeba", "{archive}", "out"), "there is no list_eval_partition.txt"),
        (("afhq", "{archive}", "{folder}"), "exists already"),
        (("afhq", "{folder}", "{folder}/out"), "is inside the archive"),
        (("afhq", "{archive}", "out", "--size", "0"), "size must be positive"),
        (("afhq", "{archive}", "out", "--sha256", "abc"), "64 hexadecimal digits"),
        (("afhq", "{folder}", "out", "--sha256", "0" * 64), "leave out --sha256"),
        (("flowers", "{archive}", "out"), "flowers"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    words: tuple[str, ...], told: str, address: str, archive: Path, folder: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert (
        run("data", "prepare", *(w.format(address=address, archive=archive, folder=folder) for w in words))
        == 2
    )
    assert told in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_shards_are_trained_on_as_their_folder_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "train" / "cat" / "bad.png").write_bytes(b"no picture")
    assert run("data", "shards", folder / "train", tmp_path / "shards", "--per-shard", 8) == 0
    told = capsys.readouterr().out
    assert "30 pictures in 4 shards" in told
    assert "bad.png: not a PNG, JPEG, WebP or BMP picture" in told
    settings = layered({"image_size": 32, "width": 4, "held_out": str(folder / "val")})
    files = open_data(folder / "train", settings)
    assert isinstance(files.train, Share)
    for place in (tmp_path / "shards", tmp_path / "shards" / "shard-{000000..000003}.tar"):
        packed = open_data(place, settings)
        assert isinstance(packed.train, Share)
        assert torch.equal(packed.train.batch(range(30)), files.train.batch(range(30)))
        assert packed.fingerprint.startswith("30 files ")
        assert isinstance(packed.folders[0], ShardFolder)
        assert packed.folders[0].classes == list(CLASSES)


def test_held_out_shards_are_others_than_those_trained_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = tmp_path / "shards"
    assert run("data", "shards", folder, shards, "--per-shard", 9) == 0
    trained = shards / "shard-{000000..000002}.tar"
    for held_out in (shards, shards / "shard-000002.tar", shards / "shard-{000002..000003}.tar"):
        assert run("train", trained, "--out", tmp_path / "run", "--held-out", held_out) == 2
        assert "must not be inside each other" in " ".join(capsys.readouterr().err.split())


def test_shards_are_not_written_into_their_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "shards", folder, folder / "shards") == 2
    assert "is inside" in capsys.readouterr().err
    assert not (folder / "shards").exists()
