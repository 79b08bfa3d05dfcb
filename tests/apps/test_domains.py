"""A model that tells domains apart, in use: each picture's domain by name or by its folder."""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cluit.apps import evaluation_set
from cluit.apps.api import Painter, load
from cluit.apps.cli import parse
from cluit.apps.evaluate import evaluate
from cluit.apps.interpolate import interpolate
from cluit.apps.search import search
from cluit.apps.stylemap import style_map
from cluit.apps.translate import translate
from cluit.core.errors import UserError
from cluit.core.images import as_picture, to_unit
from cluit.data.factors import SPECIES
from cluit.data.portrait_folder import write_folder
from cluit.export import weights
from cluit.methods.starganv2.config import StarGANv2Config

Made = Callable[[tuple[str, ...]], Path]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder of a saved model of 32 px with these domains, which has learned nothing."""

    def save(domains: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("model")
        config = StarGANv2Config(image_size=32, width=4, domains=domains)
        card = {"method": "starganv2", "config": dataclasses.asdict(config)}
        weights.save(folder, config.build_translator(), card)
        return folder

    return save


@pytest.fixture(scope="session")
def model(made: Made) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return made(("cat", "dog"))


@pytest.fixture
def painter(model: Path) -> Painter:
    return load(model, device="cpu", precision="float32", batch_size=3)


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures in cat/ and dog/."""
    folder = tmp_path_factory.mktemp("domains") / "animals"
    write_folder(folder, 16, 32, species_weights={"cat": 1, "dog": 1})
    return folder


def pictures(animals: Path, name: str) -> list[Path]:
    return sorted((animals / name).iterdir())


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)


def seen(path: Path) -> Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return to_unit(torch.from_numpy(pixels(path)).permute(2, 0, 1))[None].contiguous()


def styles_of(painter: Painter, path: Path, domain: int) -> Tensor:
    """(1, S), by the translator itself."""
    with torch.no_grad():
        return painter.translator.encode_style(seen(path), torch.tensor([domain]))


def test_the_nearest_folder_of_a_domains_name_decides(
    painter: Painter, animals: Path, tmp_path: Path
) -> None:
    cat = pictures(animals, "cat")[0]
    odd = tmp_path / "cat" / "dog" / "more" / "of.png"
    odd.parent.mkdir(parents=True)
    odd.write_bytes(cat.read_bytes())
    styles = painter.styles([cat, odd])
    torch.testing.assert_close(styles[:1], styles_of(painter, cat, 0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(styles[1:], styles_of(painter, cat, 1), atol=1e-5, rtol=1e-4)


def test_a_name_wins_over_the_folder_for_all_or_for_each(painter: Painter, animals: Path) -> None:
    paths = pictures(animals, "cat")[:4]  # more than are worked on at once
    for told, numbers in (("dog", [1] * 4), (["dog", "cat", "cat", "dog"], [1, 0, 0, 1])):
        expected = torch.cat([styles_of(painter, *pair) for pair in zip(paths, numbers, strict=True)])
        torch.testing.assert_close(painter.styles(paths, told), expected, atol=1e-5, rtol=1e-4)
    one, other = (painter.translate(paths[0], paths[1], domain=name) for name in ("cat", "dog"))
    assert not np.array_equal(np.asarray(one), np.asarray(other))
    assert np.array_equal(np.asarray(painter.translate(paths[0], paths[1])), np.asarray(one))


def test_a_domain_that_nobody_tells_is_asked_for(painter: Painter, animals: Path, tmp_path: Path) -> None:
    cat = pictures(animals, "cat")[0]
    stray = tmp_path / "stray.png"
    stray.write_bytes(cat.read_bytes())
    for unknown in (stray, Image.new("RGB", (32, 32)), torch.zeros(3, 32, 32, dtype=torch.uint8)):
        with pytest.raises(UserError, match=r"tells domains apart \(cat, dog\): add --domain"):
            painter.styles([cat, unknown])
    with pytest.raises(UserError, match="the domains cat, dog, not fox"):
        painter.styles(cat, "fox")
    with pytest.raises(UserError, match="2 domains for 1 pictures"):
        painter.styles(cat, ["cat", "dog"])


def test_a_model_without_domains_is_told_none(tiny_model: Path, animals: Path) -> None:
    painter = load(tiny_model, device="cpu")
    with pytest.raises(UserError, match="tells no domains apart"):
        painter.styles(pictures(animals, "cat"), "cat")
    with pytest.raises(UserError, match="makes no styles up; give references"):
        painter.sample_styles(3, "cat")


def test_made_up_styles_depend_on_model_domain_seed_and_number_alone(painter: Painter) -> None:
    four = painter.sample_styles(4, "cat")
    assert four.shape == (4, 64)
    torch.testing.assert_close(painter.sample_styles(2, "cat"), four[:2])
    assert len({tuple(style) for style in four.tolist()}) == 4
    for other in (painter.sample_styles(4, "dog"), painter.sample_styles(4, "cat", seed=1)):
        assert not torch.isclose(other, four).all(dim=1).any()
    with pytest.raises(UserError, match="one of the domains cat, dog; add --domain"):
        painter.sample_styles(1)
    with pytest.raises(UserError, match="at least one"):
        painter.sample_styles(0, "cat")
    with pytest.raises(UserError, match="not fox"):
        painter.sample_styles(1, "fox")


def test_folders_of_domains_translate_by_themselves(
    model: Path, painter: Painter, animals: Path, tmp_path: Path
) -> None:
    source = pictures(animals, "cat")[0]
    translate(str(model), source, animals, out=tmp_path / "out", precision="float32")
    dog = pictures(animals, "dog")[0]
    made = pixels(tmp_path / "out" / f"{source.stem}--dog-{dog.stem}.png")
    assert np.abs(made - np.asarray(painter.translate(source, dog, domain="dog"), int)).max() <= 1
    translate(str(model), source, animals, out=tmp_path / "cats", domain="cat", precision="float32")
    made = pixels(tmp_path / "cats" / f"{source.stem}--dog-{dog.stem}.png")
    assert np.abs(made - np.asarray(painter.translate(source, dog, domain="cat"), int)).max() <= 1


def test_each_source_gets_the_styles_that_are_made_up(
    model: Path, painter: Painter, animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # one at a time, as networks round by who else is in a batch
    options: Any = {"latent": 3, "domain": "dog", "seed": 5, "precision": "float32", "batch_size": 1}
    sources = pictures(animals, "cat")
    translate(str(model), animals / "cat", out=tmp_path / "out", **options)
    assert f"{len(sources)} sources in 3 made-up styles each" in capsys.readouterr().err
    names = {f"{source.stem}--dog-{number}.png" for source in sources for number in (1, 2, 3)}
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == names
    styles = painter.sample_styles(3, "dog", seed=5)
    expected = painter.paint(painter.structures([sources[1]] * 3), styles).permute(0, 2, 3, 1).int()
    for number in (1, 2, 3):
        made = pixels(tmp_path / "out" / f"{sources[1].stem}--dog-{number}.png")
        assert np.abs(made - expected[number - 1].numpy()).max() <= 1
    translate(str(model), animals / "cat", out=tmp_path / "grid.png", grid=True, **options)
    step = 32 + 2
    assert pixels(tmp_path / "grid.png").shape == (len(sources) * step - 2, 4 * step - 2, 3)
    translate(str(model), sources[0], out=tmp_path / "one.png", **(options | {"latent": 1}))
    assert np.array_equal(
        pixels(tmp_path / "one.png"), pixels(tmp_path / "out" / f"{sources[0].stem}--dog-1.png")
    )


def test_styles_are_taken_or_made_up_never_both_nor_neither(
    model: Path, tiny_model: Path, animals: Path, tmp_path: Path
) -> None:
    source = pictures(animals, "cat")[0]
    for options in ({}, {"reference": source, "latent": 2}):
        with pytest.raises(UserError, match="one of both"):
            translate(str(model), source, out=tmp_path / "out", **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least one style to make up, not 0"):
        translate(str(model), source, out=tmp_path / "out", latent=0, domain="cat")
    with pytest.raises(UserError, match="add --domain"):
        translate(str(model), source, out=tmp_path / "out", latent=2)
    with pytest.raises(UserError, match="makes no styles up"):
        translate(str(tiny_model), source, out=tmp_path / "out", latent=2)
    assert not (tmp_path / "out").exists()


def test_the_command_leaves_the_reference_out(model: Path, animals: Path, tmp_path: Path) -> None:
    source = pictures(animals, "cat")[0]
    words = ["translate", str(model), str(source), "--latent", "2", "--domain", "dog", "--out"]
    parse([*words, str(tmp_path / "out")])()
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_search_encodes_each_picture_in_its_own_domain(
    model: Path, painter: Painter, animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dog, index = pictures(animals, "dog")[0], tmp_path / "codes.safetensors"
    options: Any = {"k": 3, "features": "random", "precision": "float32", "index": index}
    record = search(model, animals, [dog], out=tmp_path / "out", **options)
    others = [path for path in pictures(animals, "cat") + pictures(animals, "dog") if path != dog]
    likeness = torch.cosine_similarity(painter.styles(dog), painter.styles(others))
    best = [others[i].relative_to(animals).as_posix() for i in likeness.argsort(descending=True)[:3]]
    assert [one["name"] for one in record["queries"][0]["nearest"]] == best
    assert search(model, animals, out=tmp_path / "again", **options)["index"] == "reused"
    capsys.readouterr()
    named = search(model, animals, [dog], out=tmp_path / "cats", domain="cat", **options)
    assert "is of other domains; it is made anew" in capsys.readouterr().out
    assert named["queries"] != record["queries"]


def test_analyses_of_pictures_without_a_domain_ask_for_it(model: Path, animals: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(pictures(animals, "cat") + pictures(animals, "dog")):
        (flat / f"{i:02d}.png").write_bytes(path.read_bytes())
    paths = sorted(flat.iterdir())
    options: Any = {"features": "random", "device": "cpu"}
    looking: Callable[..., Any] = partial(search, model, flat, out=tmp_path / "search", k=2, **options)
    walking: Callable[..., Any] = partial(
        interpolate, model, paths[0], paths[1:3], out=tmp_path / "walk", **options
    )
    for work in (looking, walking):
        with pytest.raises(UserError, match="add --domain"):
            work()
        assert work(domain="dog")["settings"]["domain"] == "dog"
    with pytest.raises(UserError, match="into a subfolder of one of these names"):
        evaluate(model, flat, out=tmp_path / "out", features=["random"], each=2)


def test_a_map_is_of_codes_in_their_domains(model: Path, animals: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (cluit[analysis])")
    record = style_map(model, animals, out=tmp_path / "out", device="cpu")
    assert len(record["pictures"]) == 16
    assert record["settings"]["domain"] is None


def test_portraits_are_of_their_species(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search with its probes of other poses, walks over held-out portraits, and the whole protocol."""
    monkeypatch.setattr("cluit.apps.retrieval.PROBES", 6)
    monkeypatch.setattr("cluit.apps.walks.PAIRS", 3)
    monkeypatch.setattr(evaluation_set, "PORTRAITS_COUNT", 14)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    every = made(SPECIES)
    record = search(every, "portraits", out=tmp_path / "search", k=2, count=24, features="random")
    assert 0 <= record["scores"]["another_pose"]["style codes (class told)"]["style_over_pose"] <= 1
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        as_picture(torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)).save(tmp_path / name / "a.png")
    paths = [tmp_path / name / "a.png" for name in ("cat", "dog")]
    walk = interpolate(
        every, paths[0], paths[1:], out=tmp_path / "walk", frames=3, portraits=True, features="random"
    )
    assert set(walk["held_out"]) == {"walk", "fade", "reader"}
    scores = evaluate(every, "portraits", out=tmp_path / "out", features=["random"], each=2, device="cpu")
    assert 0 <= scores["scores"]["model"]["truth"]["species"] <= 1


def test_an_evaluation_takes_each_reference_in_its_own_class(
    model: Path, painter: Painter, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told = dict[bytes, int]()
    kind, encode = type(painter.translator), type(painter.translator).encode_style

    def watched(self: Any, reference: Tensor, domain: Tensor) -> Tensor:
        told.update(
            (one.numpy().tobytes(), int(number)) for one, number in zip(reference, domain, strict=True)
        )
        return encode(self, reference, domain)

    monkeypatch.setattr(kind, "encode_style", watched)
    usual: Any = {"features": ["random"], "each": 2, "precision": "float32", "device": "cpu"}
    one = evaluate(model, animals, out=tmp_path / "one", **usual)
    own = {
        seen(path).numpy().tobytes(): number
        for number, name in enumerate(("cat", "dog"))
        for path in pictures(animals, name)
    }
    assert told.items() <= own.items()  # a picture that no pair draws is not looked at
    assert set(told.values()) == {0, 1}
    if sys.platform != "win32":
        two = evaluate(model, animals, out=tmp_path / "two", workers=2, **usual)
        distances = [run["scores"]["model"]["networks"]["random"]["frechet"] for run in (one, two)]
        assert distances[0] == pytest.approx(distances[1])


def test_classes_that_are_no_domains_are_refused_before_the_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_folder(tmp_path / "pets", 16, 32, species_weights={"cat": 1, "pig": 1})
    for data in (tmp_path / "pets", "portraits"):
        with pytest.raises(UserError, match="the domains cat, dog, not "):
            evaluate(model, data, out=tmp_path / "out", features=["random"], each=2)
    assert not (tmp_path / "out").exists()


def test_domains_may_be_called_by_a_number(made: Made) -> None:
    painter = load(made(("0", "1")), device="cpu", precision="float32")
    assert painter.domains == ("0", "1")
    picture = np.zeros((32, 32, 3), np.uint8)
    assert torch.equal(painter.styles([picture], domain=1), painter.styles([picture], domain="1"))
    with pytest.raises(UserError, match="not an empty name"):
        painter.styles([picture], domain="")
