"""Attributes come from any table that has them, and a table that lacks them is refused in a sentence."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from cluit.core.errors import UserError
from cluit.data.attributes import CELEBA_TWELVE, attribute_labels, choose, portrait_attributes
from cluit.data.factors import attributes
from cluit.data.folder import ImageFolder
from cluit.data.portrait_folder import TABLE, write_folder
from cluit.data.portraits import Portraits

FORTY = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair "
    "Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup "
    "High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose "
    "Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat "
    "Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"
)
CELEBA_FORTY = set(FORTY.split())


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    """Pictures a/1.png, a/2.png and b/3.png."""
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return ImageFolder(tmp_path / "pictures", 8)


def table(folder: ImageFolder, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder.root.parent / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_is_read_by_relative_names(folder: ImageFolder) -> None:
    path = table(folder, "file,hat,beard\nb/3.png,0,1\na/1.png,1,0\nelsewhere.png,1,1\na/2.png,0,0\n")
    labels = attribute_labels(folder, path)
    assert labels.multi
    assert labels.classes == ("hat", "beard")
    assert labels.values.tolist() == [[True, False], [False, False], [False, True]]


@pytest.mark.parametrize(
    "text",
    [
        "image_id,Male,Young\n3.png,-1,1\n1.png,1,-1\n2.png,-1,-1\n",
        "\ufeffimage_id, Male , Young\r\n3.png,-1, 1\r\n1.png, 1,-1\r\n2.png,-1,-1\r\n",
        "3\nMale Young \n1.png  1 -1\n2.png -1 -1\n3.png -1  1\n",
    ],
    ids=["as CSV", "as CSV of another system", "as published"],
)
def test_celebas_table_is_read_by_bare_names(folder: ImageFolder, text: str) -> None:
    labels = attribute_labels(folder, table(folder, text))
    assert labels.classes == ("Male", "Young")
    assert labels.values.tolist() == [[True, False], [False, False], [False, True]]


def test_the_table_beside_drawn_portraits_says_what_their_factors_say(tmp_path: Path) -> None:
    write_folder(tmp_path / "portraits", 12, 32)
    folder, drawn = ImageFolder(tmp_path / "portraits", 32), Portraits(12, 32)
    by_table = attribute_labels(folder, folder.root / TABLE)
    by_factors = portrait_attributes(drawn)
    assert by_table.classes == by_factors.classes == tuple(attributes(drawn.style))
    numbers = [int(path.stem) for path in folder.paths]
    assert torch.equal(by_table.values, by_factors.values[numbers])
    some = attribute_labels(folder, folder.root / TABLE, ["is: striped", "glasses"])
    assert torch.equal(some.values, by_table.among(["striped", "glasses"]).values)


def test_the_twelve_are_celebas_own_and_a_choice() -> None:
    assert len(set(CELEBA_TWELVE)) == 12
    assert set(CELEBA_TWELVE) <= CELEBA_FORTY
    assert choose(["celeba"], sorted(CELEBA_FORTY), "table") == CELEBA_TWELVE
    assert choose(["Bald", "celeba", "Male"], sorted(CELEBA_FORTY), "table") == ("Bald", *CELEBA_TWELVE)
    assert choose(["all"], ("b", "a"), "table") == ("b", "a")
    assert choose(["all"], ("all", "a"), "table") == ("all",), "a table's own names come first"


@pytest.mark.parametrize(
    ("text", "only", "sentence"),
    [
        (
            "file,hat\na/1.png,1\na/2.png,0\n",
            [],
            r"1 of 3 pictures under .* no row in .*, the first is b/3\.png",
        ),
        ("file,hat\n1.png,1\n2.png,0\n3.png,1\n", ["hut"], "no attribute 'hut' in .*; did you mean 'hat'?"),
        (
            "file,hat\n1.png,1\n2.png,0\n3.png,1\n",
            ["celeba"],
            "no attribute 'Black_Hair' in .*; take some of hat$",
        ),
        ("file,hat\n1.png,1\n2.png,0\n3.png,2\n", [], "'hat' of .* is not binary: it holds '2'"),
        ("file,hat\n1.png,1\n2.png,0\n3.png,-1\n", [], "'hat' of .* is not binary: it has both 0 and -1"),
        ("file,hat\n1.png,1\n2.png,\n3.png,0\n", [], "'hat' of .* is not binary: it holds ''"),
        ("file,hat\n1.png,1\n2.png,nan\n3.png,0\n", [], "'hat' of .* is not binary: it holds 'nan'"),
        ("file,hat\n1.png,1\n2.png,0,1\n3.png,1\n", [], "row 3 of .* has 3 cells, its header 2"),
        ("file,hat\n1.png,1\n1.png,0\n3.png,1\n", [], r"two rows for 1\.png"),
        ("file,hat,hat\n1.png,1,0\n", [], "two columns named 'hat'"),
        ("file\n1.png\n", [], "is not a table of attributes"),
        ("file,hat\n", [], "is not a table of attributes"),
        ("", [], "is not a table of attributes"),
        ("17\n", [], "is not a table of attributes"),
        (b"\xff\xfe\x00\x01", [], "is not a CSV of attributes"),
        (b"file,hat\n1.png," + b"1" * 200_000 + b"\n", [], "is not a CSV of attributes"),
    ],
)
def test_a_table_that_does_not_serve_is_one_sentence(
    folder: ImageFolder, text: str | bytes, only: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as raised:
        attribute_labels(folder, table(folder, text), only or ["all"])
    assert "\n" not in str(raised.value)


def test_a_column_that_is_not_binary_harms_nobody_who_does_not_ask_for_it(folder: ImageFolder) -> None:
    path = table(folder, "file,hat,age\n1.png,1,30\n2.png,0,40\n3.png,1,50\n")
    assert attribute_labels(folder, path, ["hat"]).values.flatten().tolist() == [True, False, True]
    with pytest.raises(UserError, match="'age'"):
        attribute_labels(folder, path)


def test_what_is_wrong_with_other_files_rows_does_not_matter(folder: ImageFolder) -> None:
    path = table(folder, "file,hat\n1.png,1\n2.png,0\n3.png,1\nother.png,?\n")
    assert attribute_labels(folder, path).values.flatten().tolist() == [True, False, True]


def test_a_bare_name_that_may_mean_two_pictures_is_refused(folder: ImageFolder) -> None:
    Image.new("RGB", (8, 8)).save(folder.root / "b" / "1.png")
    path = table(folder, "file,hat\n1.png,1\n2.png,0\n3.png,1\n")
    with pytest.raises(UserError, match=r"the row 1\.png of .* may mean a/1\.png or b/1\.png"):
        attribute_labels(ImageFolder(folder.root, 8), path)


def test_a_table_that_is_not_there_is_one_sentence(folder: ImageFolder) -> None:
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        attribute_labels(folder, folder.root / "absent.csv")


def test_nothing_chosen_is_refused() -> None:
    with pytest.raises(UserError, match="no attribute is chosen"):
        portrait_attributes(Portraits(3, 32), [])
