import json
from pathlib import Path

import pytest
import torch

from cluit.apps.bench_search import bench_search
from cluit.apps.code_index import CodeIndex
from cluit.apps.gallery import open_gallery
from cluit.apps.search import search, skipped
from cluit.core.errors import UserError
from cluit.core.images import as_picture


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of seven pictures each."""
    for name in ("dark", "light"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(7):
            pixels = torch.randint(0, 100, (3, 40, 50), dtype=torch.uint8) + (155 if name == "light" else 0)
            as_picture(pixels).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def test_a_query_of_the_folder_finds_others_best_first(
    tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    query = pictures / "dark" / "3.png"
    record = search(tiny_model, pictures, [query], out=tmp_path / "out", k=5, features="random")
    nearest = record["queries"][0]["nearest"]
    similarities = [one["similarity"] for one in nearest]
    assert similarities == sorted(similarities, reverse=True)
    assert "dark/3.png" not in [one["name"] for one in nearest]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "index.json", "sheet.png"}
    assert json.loads((tmp_path / "out" / "index.json").read_text())["queries"] == record["queries"]


def test_precision_at_10_takes_more_than_twice_as_many_pictures(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(10, 13):
        for name in ("dark", "light"):
            (pictures / name / f"{i}.png").write_bytes((pictures / name / f"{i - 10}.png").read_bytes())
    few = search(tiny_model, pictures, out=tmp_path / "few", k=3, features="random")  # of 20 pictures
    assert few["scores"]["precision_at_10"] == {}
    assert "No precision@10: it takes at least 21 pictures" in capsys.readouterr().out
    assert "No precision@10: it takes at least 21 pictures" in (tmp_path / "few" / "index.html").read_text()
    (pictures / "dark" / "13.png").write_bytes((pictures / "dark" / "4.png").read_bytes())
    table = search(tiny_model, pictures, out=tmp_path / "out", k=3, features="random")["scores"][
        "precision_at_10"
    ]
    assert table["raw pixels"]["dark"] == pytest.approx(1)
    assert table["raw pixels"]["light"] == pytest.approx(0.9)  # nine others: no more can be found
    assert table["chance"]["dark"] == pytest.approx(10 / 20)


def test_an_index_is_reused_and_a_stale_one_made_anew_in_a_line(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "codes.safetensors"
    made = [
        search(tiny_model, pictures, out=tmp_path / str(i), k=3, index=index, features="random")
        for i in range(2)
    ]
    assert [record["index"] for record in made] == ["made", "reused"]
    assert made[0]["queries"] == made[1]["queries"]
    capsys.readouterr()
    as_picture(torch.zeros(3, 40, 50, dtype=torch.uint8)).save(pictures / "dark" / "0.png")
    again = search(tiny_model, pictures, out=tmp_path / "2", k=3, index=index, features="random")
    assert again["index"] == "made"
    assert "is of other pictures; it is made anew" in capsys.readouterr().out


def test_what_is_no_index_is_not_replaced(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    index = tmp_path / "mine.safetensors"
    index.write_text("precious")
    with pytest.raises(UserError, match="no index of cluit"):
        search(tiny_model, pictures, out=tmp_path / "out", k=3, index=index, features="random")
    assert index.read_text() == "precious"


def test_an_index_that_is_not_whole_says_what_to_do_or_is_made_anew(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(out: str) -> str:
        search(tiny_model, pictures, out=tmp_path / out, k=3, index=index, features="random")
        return capsys.readouterr().out

    index, names = tmp_path / "codes.safetensors", tmp_path / "codes.names.json"
    again("first")
    for number, half in enumerate((index, names)):
        half.unlink()
        assert f"the index {index} is not whole; it is made anew" in again(str(number))
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"is damaged; delete it and {names}"):
        again("out")
    index.unlink()
    for text, said in (("mine", "not of an index of cluit"), ('{"format_version": 9}', "by a newer cluit")):
        names.write_text(text)
        with pytest.raises(UserError, match=f"{names} .*{said}.*; .*choose another --index"):
            again("out")


def test_a_damaged_picture_is_left_out(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "dark" / "2.png").read_bytes()
    (pictures / "dark" / "2.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "light" / "no.png").write_text("no picture")
    with pytest.warns(UserWarning, match="skipped"):
        record = search(tiny_model, pictures, out=tmp_path / "out", k=3, features="random")
    assert record["pictures"] == 13
    assert list(record["skipped"]) == ["dark/2.png", "light/no.png"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(f">{name}</td>" in page for name in record["skipped"])


def test_a_picture_that_a_reused_index_lacks_is_told_of(pictures: Path) -> None:
    gallery = open_gallery(pictures, 32, 0)
    codes = CodeIndex(gallery.names[1:], torch.zeros(13, 4), {})
    assert skipped(gallery, codes) == {"dark/0.png": "could not be read when the index was made"}


def test_pictures_are_named_by_their_places_in_the_folder(
    tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    record = search(tiny_model, pictures, out=tmp_path / "out", k=3, features="random")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "query<br>dark/0.png<" in page
    assert all(f"<br>{one['name']}<" in page for query in record["queries"] for one in query["nearest"])


def test_without_classes_it_says_what_it_cannot_say(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = search(tiny_model, pictures / "dark", out=tmp_path / "out", k=3, features="random")
    assert record["scores"]["precision_at_10"] == {}
    assert "No precision@10: it takes at least 21 pictures, in two subfolders" in capsys.readouterr().out


def test_portraits_are_looked_for_in_another_pose(tiny_model: Path, tmp_path: Path) -> None:
    record = search(tiny_model, "portraits", out=tmp_path / "out", k=3, count=40, features="random")
    poses = record["scores"]["another_pose"]
    assert set(poses) == {"style codes", "raw pixels", "random features"}
    assert all(0 <= row["recall_at_1"] <= row["recall_at_10"] <= 1 for row in poses.values())


@pytest.mark.parametrize(("k", "sentence"), [(0, "from 1 to 100"), (14, "from 1 to 13")])
def test_a_wrong_k_is_one_sentence(
    tiny_model: Path, pictures: Path, tmp_path: Path, k: int, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        search(tiny_model, pictures, out=tmp_path / "out", k=k, features="random")
    assert not (tmp_path / "out").exists()


def test_a_search_is_not_overwritten(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_text("precious")
    with pytest.raises(UserError, match=r"sheet\.png is already there"):
        search(tiny_model, pictures, out=tmp_path, k=3, features="random")


def test_an_approximate_search_finds_the_same(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed (cluit[search])")
    index = tmp_path / "codes.safetensors"
    exact = search(tiny_model, pictures, out=tmp_path / "0", k=3, features="random")
    for i in (1, 2):
        near = search(
            tiny_model, pictures, out=tmp_path / str(i), k=3, index=index, approximate=True, features="random"
        )
        names = [[one["name"] for one in query["nearest"]] for query in near["queries"]]
        assert names == [[one["name"] for one in query["nearest"]] for query in exact["queries"]]
    assert near["index"] == "reused"


def test_an_index_of_made_up_codes_finds_what_exact_search_finds(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed (cluit[search])")
    bench_search(codes=3000, queries=50, json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["recall_at_10"] > 0.98
    assert record["index_bytes"] > record["code_bytes"] == 3000 * 128 * 4
    bench_search(codes=100, queries=5)
    assert "100 codes of 128 numbers" in capsys.readouterr().out
    with pytest.raises(UserError, match="more than 10 codes"):
        bench_search(codes=10)
