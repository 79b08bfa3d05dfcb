"""Whole folders: who meets whom, what is finished, what the manifest says."""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cluit.apps.api import load
from cluit.apps.bulk import outputs
from cluit.apps.bulk.record import RECORD
from cluit.apps.translate import translate
from cluit.core.errors import UserError
from cluit.core.images import as_picture

OPTIONS = {"precision": "float32", "batch_size": 4, "workers": 2}


@pytest.fixture
def model(tiny_model: Path) -> str:
    return str(tiny_model)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sources/ and references/, which are never written to."""
    root = tmp_path_factory.mktemp("bulk")
    chance = torch.Generator().manual_seed(0)
    for folder, count in (("sources", 10), ("references", 5)):
        for i in range(count):
            path = root / folder / ("deep" if i % 2 else "") / f"{folder[0]}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=chance)
            as_picture(pixels.repeat_interleave(10, 1).repeat_interleave(10, 2)).save(path)
    return root


def run(model: str, pictures: Path, out: Path, **options: object) -> list[dict[str, str]]:
    """The rows of the manifest, paths relative to ``pictures``."""
    translate(model, pictures / "sources", pictures / "references", out=out, **(OPTIONS | options))  # type: ignore[arg-type]
    return rows_of(out / "manifest.csv", pictures)


def rows_of(manifest: Path, pictures: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return [
            {name: value.removeprefix(f"{pictures}/") for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def met(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    """The references of each source."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["source"], []).append(row["reference"])
    return found


def contents(folder: Path) -> Mapping[str, bytes]:
    """Of every file but the record of settings."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_each_draws_by_name_and_seed_whoever_else_is_there(
    model: str, pictures: Path, tmp_path: Path
) -> None:
    all_of_them = met(run(model, pictures, tmp_path / "all", each=2))
    assert len(all_of_them) == 10
    assert all(len(set(references)) == 2 for references in all_of_them.values())
    assert len({tuple(references) for references in all_of_them.values()}) > 3
    (tmp_path / "few/sources/deep").mkdir(parents=True)
    (tmp_path / "few/references").symlink_to(pictures / "references")
    for name in ("sources/deep/s3.png", "sources/s8.png"):
        (tmp_path / "few" / name).write_bytes((pictures / name).read_bytes())
    few = met(run(model, tmp_path / "few", tmp_path / "out", each=2))
    assert few == {name: all_of_them[name] for name in ("sources/deep/s3.png", "sources/s8.png")}
    assert met(run(model, pictures, tmp_path / "other", each=2, seed=1)) != all_of_them


def test_the_manifest_says_what_there_is(model: str, pictures: Path, tmp_path: Path) -> None:
    rows = run(model, pictures, tmp_path / "out", each=2, format="jpg", quality=80)
    made = {path.name for path in (tmp_path / "out").glob("*.jpg")}
    assert {row["output"] for row in rows} == made
    assert len(made) == 20
    first = rows[0]
    assert first[
        "output"
    ] == f"deep-s1--{Path(first['reference']).relative_to('references').with_suffix('')}.jpg".replace(
        "deep/", "deep-"
    )
    with Image.open(tmp_path / "out" / first["output"]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 32))


@pytest.mark.parametrize("rule", ["nearest", "farthest"])
def test_styles_are_compared_by_cosine_and_none_meets_itself(
    model: str, pictures: Path, tmp_path: Path, rule: str
) -> None:
    folder = pictures / "sources"
    translate(model, folder, folder, out=tmp_path, **(OPTIONS | {rule: 2}))  # type: ignore[arg-type]
    found = met(rows_of(tmp_path / "manifest.csv", pictures))
    paths = sorted(folder.rglob("*.png"))
    codes = F.normalize(load(model, precision="float32").styles(paths), dim=1)
    alike = codes @ codes.T * (1 if rule == "nearest" else -1)
    alike.fill_diagonal_(-torch.inf)
    names = [path.relative_to(pictures).as_posix() for path in paths]
    best = alike.topk(2).indices.tolist()
    assert found == {name: [names[i] for i in rows] for name, rows in zip(names, best, strict=True)}


def test_a_list_of_pairs_is_done_as_it_says(model: str, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(
        "reference,source,output\nr0.png,s0.png,one\nr0.png,s2.png,more/two.png\nr4.png,s0.png,\n"
    )
    rows = run(model, pictures, tmp_path / "out", pairs=table)
    assert [row["output"] for row in rows] == ["one.png", "more/two.png", "s0--r4.png"]
    assert [row["source"] for row in rows] == ["sources/s0.png", "sources/s2.png", "sources/s0.png"]
    assert {name for name in contents(tmp_path / "out") if name != "manifest.csv"} == {
        row["output"] for row in rows
    }


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("source,style\ns0.png,r0.png", "has no column reference"),
        ("source,reference,outptu\ns0.png,r0.png,x", "has a column outptu; call it output"),
        ("source,reference\ns0.png,", "line 2 of .* lacks a source or a reference"),
        (
            "source,reference\ns0.png,r0.png\ns2.png,r0.png\ns0.png,r0.png",
            "line 4 .* not the first .* s0--r0.png",
        ),
        ("source,reference,output\ns0.png,r0.png,../x", "line 2 .* not inside --out"),
        ("source,reference,output\ns0.png,r0.png,x.jpg", "leave the suffix out"),
        ("source,reference", "names no pairs"),
    ],
)
def test_a_list_that_cannot_be_done_is_refused_before_the_work(
    pictures: Path, tmp_path: Path, lines: str, reason: str
) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(lines)
    with pytest.raises(UserError, match=reason):
        run("no model is read", pictures, tmp_path / "out", pairs=table)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rule", [{"each": 2}, {"nearest": 2}])
def test_a_resumed_job_does_what_is_missing_and_nothing_else(
    model: str, pictures: Path, tmp_path: Path, rule: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(model, pictures, tmp_path, **rule)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    lost = tmp_path / rows[5]["output"]
    lost.unlink()
    (tmp_path / ".0badcafe.1.tmp").write_bytes(b"half")  # as of a killed writer
    (tmp_path / "manifest.csv").write_text("source,ref")
    run(model, pictures, tmp_path, resume=True, **rule)
    assert contents(tmp_path) == before
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {lost}
    assert "20 translations in" in (said := capsys.readouterr().out)
    assert "19 of them from before" in said


def test_a_folder_is_one_jobs(model: str, pictures: Path, tmp_path: Path) -> None:
    run(model, pictures, tmp_path, each=1)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="go on with --resume"):
        run(model, pictures, tmp_path, each=1)
    for change, reason in (
        ({"each": 2}, "rule was --each 1, not --each 2"),
        ({"seed": 1}, "seed was 0, not 1"),
    ):
        for resume in (True, False):
            with pytest.raises(UserError, match=f"{reason}; choose another --out"):
                run(model, pictures, tmp_path, **({"each": 1} | change), resume=resume)
    assert contents(tmp_path) == before
    run(model, pictures, tmp_path, each=2, overwrite=True)
    assert len(rows_of(tmp_path / "manifest.csv", pictures)) == 20


def test_what_is_replaced_is_not_taken_for_finished(model: str, pictures: Path, tmp_path: Path) -> None:
    run(model, pictures, tmp_path, each=1)
    expected, settings = contents(tmp_path), (tmp_path / RECORD).read_bytes()
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"an older job's")
    (tmp_path / RECORD).write_bytes(settings)  # as of a job with --overwrite that was killed at its beginning
    with pytest.raises(UserError, match="is already there"):
        run(model, pictures, tmp_path, each=1, resume=True)
    run(model, pictures, tmp_path, each=1, resume=True, overwrite=True)
    assert contents(tmp_path) == expected


def test_what_is_in_the_way_is_found_before_the_work(model: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "s8--r4.png").write_text("precious")
    with pytest.raises(UserError, match=r"s8--r4\.png is already there"):
        run(model, pictures, tmp_path)
    assert contents(tmp_path) == {"s8--r4.png": b"precious"}
    assert not (tmp_path / RECORD).exists()


def test_a_table_of_somebody_else_stays(model: str, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "manifest.csv"
    table.parent.mkdir()
    for place in (table, tmp_path / "table.csv"):
        place.write_text("precious")
        with pytest.raises(UserError, match="is already there"):
            run(model, pictures, tmp_path / "out", each=1, manifest=place)
        assert place.read_text() == "precious"
    table.unlink()
    run(model, pictures, tmp_path / "out", each=1)
    with pytest.raises(UserError, match="another manifest"):
        run(model, pictures, tmp_path / "out", each=1, manifest=tmp_path / "table.csv", resume=True)


def test_a_list_of_pairs_never_becomes_the_manifest(model: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    pairs = tmp_path / "out" / "manifest.csv"
    pairs.write_text("source,reference\ns0.png,r0.png\n")
    with pytest.raises(UserError, match="would replace the list of pairs"):
        run("no model is read", pictures, tmp_path / "out", pairs=pairs, overwrite=True)
    assert pairs.read_text().startswith("source,reference\n")


def test_a_manifest_that_could_not_be_written_is_refused_before_the_work(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"a manifest is a \.csv or a \.parquet, not table\.txt"):
        run("no model is read", pictures, tmp_path / "out", manifest=tmp_path / "table.txt")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"a manifest in Parquet needs pyarrow, .*'cluit\[parquet\]'"):
        run("no model is read", pictures, tmp_path / "out", manifest=tmp_path / "table.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_in_parquet_leaves_a_csv_of_that_name_alone(
    model: str, pictures: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (cluit[parquet])")
    (tmp_path / "table.csv").write_text("precious")
    table, out = tmp_path / "table.parquet", tmp_path / "out"
    translate(
        model, pictures / "sources", pictures / "references", out=out, manifest=table,
        **(OPTIONS | {"each": 1}),  # type: ignore[arg-type]
    )  # fmt: skip
    assert {row["output"] for row in parquet.read_table(table).to_pylist()} == {
        path.name for path in out.glob("*.png")
    }
    assert (tmp_path / "table.csv").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "table.csv", "table.parquet"]


def test_an_out_among_the_pictures_is_refused(model: str, pictures: Path) -> None:
    for place in (pictures / "sources", pictures / "references" / "out"):
        with pytest.raises(UserError, match="whose pictures it would add to"):
            run(model, pictures, place)


def test_many_pictures_are_spread_over_subfolders(
    model: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(model, pictures, tmp_path / "plain", each=2)
    monkeypatch.setattr(outputs, "MOST_IN_FOLDER", 5)
    spread = run(model, pictures, tmp_path / "spread", each=2)
    assert [Path(row["output"]).name for row in spread] == [row["output"] for row in plain]
    assert all(len(Path(row["output"]).parent.name) == 2 for row in spread)
    assert all((tmp_path / "spread" / row["output"]).is_file() for row in spread)


def test_several_processes_make_what_one_makes(
    model: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, pictures, tmp_path / "one", nearest=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        translate(
            model, pictures / "sources", pictures / "references", out=tmp_path / "two", nearest=2, **OPTIONS  # type: ignore[arg-type]
        )  # fmt: skip
        assert (tmp_path / "two" / "manifest.csv").exists() == (rank == 0)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {name: two[name] for name in one if name != "manifest.csv"} == {
        name: one[name] for name in one if name != "manifest.csv"
    }
    assert two.keys() == one.keys()
    assert sorted(two["manifest.csv"].splitlines()) == sorted(one["manifest.csv"].splitlines())


def test_processes_that_are_none_are_refused(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="start them by torchrun"):
        run("no model is read", pictures, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"each": 2, "nearest": 2}, "--each and --nearest are two rules"),
        ({"each": 0}, "at least one reference of each source, not 0"),
        ({"each": 6}, "--each 6 asks for more references than there are, 5"),
        ({"farthest": 6}, "--farthest 6 asks for more references than there are, 5"),
        ({"quality": 101}, "the quality is from 1 to 100"),
        ({"format": "gif"}, "choose png, jpg, webp"),
        ({"workers": 0}, "at least one worker"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    model: str, pictures: Path, tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        run(model, pictures, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_source_that_cannot_be_read_costs_no_other(
    model: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "references").symlink_to(pictures / "references")
    (tmp_path / "sources").mkdir()
    for i in range(3):
        (tmp_path / f"sources/{i}.png").write_bytes(
            (pictures / "sources/s0.png").read_bytes()[: 60 + i // 2 * 10**6]
        )
    rows = run(model, tmp_path, tmp_path / "out", each=1)
    assert [row["source"] for row in rows] == ["sources/2.png"]
    assert capsys.readouterr().err.count("truncated") == 2
    settings = json.loads((tmp_path / "out" / RECORD).read_text())["settings"]
    assert settings["rule"] == "--each 1"
