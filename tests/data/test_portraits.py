"""The embedded data set: what is drawn depends on the factors and on nothing else."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluit.core.errors import UserError
from cluit.data.factors import SPECIES, Structure, Style, attributes, sample_structure, sample_style
from cluit.data.portrait_folder import write_folder
from cluit.data.portraits import Portraits, draw, face_mask


def some(count: int, **changes: torch.Tensor) -> tuple[Structure, Style]:
    """Factors of a few portraits, with ``changes`` to their style."""
    index = torch.arange(count)
    style = sample_style(5, "train", index)
    return sample_structure(5, "train", index), dataclasses.replace(style, **changes)


def test_a_picture_is_the_same_in_whatever_batch_it_is_drawn() -> None:
    together = Portraits(40, 64, seed=3, hidden=0.2).batch(range(40))
    apart = Portraits(40, 64, seed=3, hidden=0.2)
    assert all(torch.equal(together[i], apart.batch([i])[0]) for i in (0, 7, 39))
    assert torch.equal(apart.batch([30, 2, 30]), together[[30, 2, 30]])
    assert torch.equal(Portraits(40, 64, seed=3, hidden=0.2)[-1], together[39])


def test_a_longer_data_set_begins_with_the_shorter_one() -> None:
    short, long = Portraits(5, 32, seed=1), Portraits(100, 32, seed=1)
    assert torch.equal(short.batch(range(5)), long.batch(range(5)))


def test_the_drawings_are_those_that_models_were_trained_on() -> None:
    """A few means of a few pictures; a change of look needs new models and a new reader."""
    pictures = Portraits(64, 32, seed=0).batch(range(3)).float()
    expected = [[203.654, 149.466, 125.119], [179.65, 143.035, 122.362], [215.055, 175.99, 158.493]]
    assert torch.allclose(pictures.mean(dim=(2, 3)), torch.tensor(expected), atol=0.02)


@pytest.mark.parametrize("other", [{"seed": 1}, {"split": "test"}])
def test_other_seeds_and_splits_share_no_picture(other: dict[str, object]) -> None:
    first = Portraits(200, 32)
    second = Portraits(200, 32, **other)  # type: ignore[arg-type]
    assert not set(first.structure.x.tolist()) & set(second.structure.x.tolist())


def test_what_is_not_kept_is_drawn_again_alike() -> None:
    kept, forgetful = Portraits(80, 32), Portraits(80, 32, cache_bytes=3 * 32 * 32 * 10)
    assert torch.equal(kept.batch([3, 70, 9, 11]), forgetful.batch([3, 70, 9, 11]))
    assert torch.equal(kept[75], forgetful[75])
    with pytest.raises(IndexError):
        kept[80]


def test_a_small_picture_is_the_mean_of_a_large_one() -> None:
    structure, style = some(24)
    for small, factor in ((32, 2), (64, 2)):
        large = torch.nn.functional.avg_pool2d(draw(structure, style, small * factor).float(), factor)
        error = (large - draw(structure, style, small).float()).abs()
        assert error.mean() < 1.0  # of 255 levels


def test_the_true_translation_of_a_picture_to_itself_is_itself() -> None:
    portraits = Portraits(12, 32)
    assert torch.equal(draw(portraits.structure, portraits.style, 32), portraits.batch(range(12)))


def test_a_change_of_coat_changes_the_face_and_nothing_else() -> None:
    structure, style = some(36, pattern=torch.zeros(36, dtype=torch.long), coat=torch.full((36,), 1))
    other = dataclasses.replace(style, coat=torch.full((36,), 2))
    change = (draw(structure, style, 64).int() - draw(structure, other, 64).int()).abs().amax(dim=1) > 40
    face = face_mask(structure, style, 64)
    assert torch.equal(face, face_mask(structure, other, 64))
    assert (change & face).sum() / change.sum() > 0.95  # the rest: whiskers
    assert (change & face).sum() / face.sum() > 0.6  # the rest: eyes, noses, inner ears


def test_a_change_of_background_leaves_the_face_alone() -> None:
    structure, style = some(24, background=torch.zeros(24, dtype=torch.long))
    other = dataclasses.replace(style, background=torch.full((24,), 4))
    change = (draw(structure, style, 64).int() - draw(structure, other, 64).int()).abs().amax(dim=1) > 0
    inside = torch.nn.functional.avg_pool2d(face_mask(structure, style, 64).float(), 3, 1, padding=1) > 0.99
    assert (change & inside).sum() < 0.005 * inside.sum()  # smooth edges where two parts of the head meet


def test_the_face_follows_the_position() -> None:
    structure, style = some(60)
    places = torch.linspace(-1, 1, 64)
    face = face_mask(structure, style, 64).float()
    middle = (face.sum(dim=1) * places).sum(dim=1) / face.sum(dim=(1, 2))
    assert torch.corrcoef(torch.stack([middle, structure.x]))[0, 1] > 0.95


def test_a_pose_changes_no_palette() -> None:
    """The colours of one style, found by frequency, are the same wherever its head is."""
    index = torch.arange(30)
    structure, style = sample_structure(5, "train", index), sample_style(5, "train", torch.tensor([4] * 30))
    pictures = draw(structure, style, 32).float().mean(dim=(2, 3))
    assert pictures.std(dim=0).max() < 12  # levels; the spread over styles is about 30
    assert all(len(values.unique()) == 1 for values in attributes(style).values())


def test_species_differ_by_silhouette() -> None:
    pose = sample_structure(0, "train", torch.zeros(6, dtype=torch.long))
    style = dataclasses.replace(
        sample_style(0, "train", torch.zeros(6, dtype=torch.long)), species=torch.arange(6)
    )
    face = face_mask(pose, style, 64)
    overlaps = torch.tensor(
        [[((a & b).sum() / (a | b).sum()).item() for a in face] for b in face], dtype=torch.float64
    )
    others = overlaps[~torch.eye(6, dtype=torch.bool)]
    assert others.max() < 0.88
    assert others.mean() < 0.7


def test_factors_are_spread_evenly_and_independently() -> None:
    index = torch.arange(20_000)
    structure, style = sample_structure(0, "train", index), sample_style(0, "train", index)
    assert (torch.bincount(style.species) / 20_000 - 1 / 6).abs().max() < 0.01
    assert structure.tilt.abs().max() <= 0.5
    assert structure.scale.aminmax() == pytest.approx((0.7, 1.05), abs=1e-3)
    values = torch.stack(
        [
            structure.x,
            structure.y,
            structure.tilt,
            structure.turn,
            style.species.float(),
            style.coat.float(),
            style.background.float(),
        ]
    )
    assert (torch.corrcoef(values) - torch.eye(7)).abs().max() < 0.03
    half = torch.stack(list(attributes(style).values())).float().mean(dim=1)
    assert len(half) >= 12
    assert ((half > 0.1) & (half < 0.9)).all()


def test_rare_poses_and_hidden_faces_come_as_often_as_asked() -> None:
    portraits = Portraits(4000, 32, rare_poses=0.3, hidden=0.25)
    assert (portraits.structure.occluder > 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert (portraits.structure.tilt.abs() > 0.5).float().mean() == pytest.approx(0.3 * 0.84, abs=0.03)
    assert not (Portraits(100, 32).structure.occluder > 0).any()


def test_a_hidden_face_is_less_of_a_face() -> None:
    structure = sample_structure(0, "train", torch.arange(30), hidden=1.0)
    style = sample_style(0, "train", torch.arange(30))
    whole = dataclasses.replace(structure, occluder=torch.zeros(30, dtype=torch.long))
    assert face_mask(structure, style, 32).sum() < 0.85 * face_mask(whole, style, 32).sum()


def test_unbalanced_species_and_coarse_labels() -> None:
    coarse = {"cat": "wildcat", "fox": "wildcat"}
    portraits = Portraits(3000, 32, species_weights={"cat": 3, "pig": 1}, coarse=coarse)
    assert portraits.classes == ["dog", "mouse", "pig", "rabbit", "wildcat"]
    share = portraits.labels.count(portraits.classes.index("wildcat")) / 3000
    assert share == pytest.approx(0.75, abs=0.03)
    assert set(portraits.labels) == {2, 4}
    plain = Portraits(3000, 32, species_weights={"cat": 3, "pig": 1})
    assert torch.equal(plain.style.species, portraits.style.species)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 48},
        {"size": 512},
        {"count": 0},
        {"hidden": 1.5},
        {"rare_poses": -0.1},
        {"hidden": float("nan")},
        {"species_weights": {"cow": 1.0}},
        {"species_weights": {"cat": 0.0}},
        {"species_weights": {"cat": -1.0, "dog": 2.0}},
        {"coarse": {"cow": "cattle"}},
    ],
)
def test_what_cannot_be_drawn_is_said(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Portraits(**{"count": 4, "size": 32, **wrong})  # type: ignore[arg-type]


def test_a_written_folder_holds_the_pictures_and_a_table_of_their_factors(tmp_path: Path) -> None:
    seen: list[int] = []
    write_folder(tmp_path / "new" / "animals", 70, 32, seed=2, progress=seen.append)
    with (tmp_path / "new" / "animals" / "factors.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    portraits = Portraits(70, 32, seed=2)
    assert seen == [64, 70]
    assert len(rows) == 70
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["animals"]
    for i in (0, 69):
        pixels = np.asarray(Image.open(tmp_path / "new" / "animals" / rows[i]["file"]))
        assert torch.equal(torch.from_numpy(pixels.copy()).permute(2, 0, 1), portraits[i])
        assert rows[i]["species"] == SPECIES[int(portraits.style.species[i])] == rows[i]["file"].split("/")[0]
        assert float(rows[i]["tilt"]) == pytest.approx(portraits.structure.tilt[i].item(), abs=1e-5)
        assert bool(int(rows[i]["is: glasses"])) == bool(portraits.style.glasses[i])


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_folder(tmp_path, 2, 32)
    with pytest.raises(UserError, match="exists already"):
        write_folder(tmp_path / "mine.txt", 2, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "label", ["", ".", "..", "../evil", "/tmp/evil", "a/b", "a\\b", "C:evil", ".hidden", "factors.csv", "a\0"]
)
def test_labels_that_lead_out_of_the_folder_are_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(UserError, match="name of a subfolder"):
        write_folder(tmp_path / "animals", 2, 32, coarse={"cat": label})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_give_way_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="new folder"):
        write_folder(Path("."), 2, 32, progress=lambda done: pytest.fail("it drew first"))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_folder(Path("link"), 2, 32)
    assert (tmp_path / "real" / "factors.csv").exists()


def test_an_interrupted_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "animals", 2, 32, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_factors_are_selected_and_joined_as_tensors_are() -> None:
    structure, style = some(6)
    assert len(structure[2:5]) == 3
    assert torch.equal(style[[4, 0]].coat, style.coat[[4, 0]])
    joined = Structure.cat([structure[:2], structure[torch.tensor([2, 3, 4, 5])]])
    assert torch.equal(draw(joined, style, 32), draw(structure, style, 32))
