"""Who meets whom: the same everywhere, never oneself; and styles and structures encoded once."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.images import to_bytes, to_unit
from cluit.core.types import Translator
from cluit.evaluation.protocol import Pairs, random_pairs, structure_codes, style_codes, translations

NAMES = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(15)]


def test_no_source_is_its_own_reference_and_none_comes_twice() -> None:
    pairs = random_pairs(NAMES, each=10)
    assert pairs.sources == tuple(sorted(NAMES))
    for source, references in zip(pairs.sources, pairs.references, strict=True):
        assert len(set(references)) == 10
        assert source not in references


def test_all_others_may_be_asked_for() -> None:
    pairs = random_pairs(NAMES, each=len(NAMES) - 1)
    assert all(
        {source, *row} == set(NAMES) for source, row in zip(pairs.sources, pairs.references, strict=True)
    )


def test_pairs_are_the_same_on_every_machine_and_in_any_order_of_names() -> None:
    pairs = random_pairs(["a", "b", "c", "d", "e", "f"], each=3, seed=5)
    assert pairs.references[:2] == (("b", "c", "f"), ("f", "a", "c"))
    assert random_pairs(["f", "c", "a", "e", "d", "b"], each=3, seed=5) == pairs
    assert random_pairs(["a", "b", "c", "d", "e", "f"], each=3, seed=6) != pairs


def test_chance_does_not_favour_anyone() -> None:
    names = [str(i) for i in range(40)]
    rows = [row for seed in range(60) for row in random_pairs(names, 10, seed).references]
    counts = torch.bincount(torch.tensor([int(name) for row in rows for name in row]), minlength=40)
    expected = 60 * 40 * 10 / 40
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_fewer_sources_keep_their_references() -> None:
    some, every = random_pairs(NAMES, 4, seed=1, limit=7), random_pairs(NAMES, 4, seed=1)
    assert len(some.sources) == 7
    known = dict(zip(every.sources, every.references, strict=True))
    assert all(known[source] == row for source, row in zip(some.sources, some.references, strict=True))
    assert {source.split("/")[0] for source in some.sources} == {"cat", "dog"}


@pytest.mark.parametrize(("each", "limit"), [(0, None), (30, None), (4, 0)])
def test_impossible_numbers_are_refused(each: int, limit: int | None) -> None:
    with pytest.raises(UserError):
        random_pairs(NAMES, each, limit=limit)


def test_a_file_of_pairs_gives_them_back(tmp_path: Path) -> None:
    pairs = random_pairs(NAMES, 3, limit=5)
    pairs.write(tmp_path / "pairs.json")
    assert Pairs.read(tmp_path / "pairs.json") == pairs


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"format_version": "2"}', '{"format_version": 1, "sources": ["a"]}', "\\u0000",
        '{"format_version": 1, "sources": ["a"], "references": 5}',
        '{"format_version": 1, "sources": ["a"], "references": [["a"]]}',
        '{"format_version": 1, "sources": ["a", "a"], "references": [["b"], ["c"]]}',
        '{"format_version": 1, "sources": ["a"], "references": [["b", "b"]]}',
        '{"format_version": 1, "sources": ["a"], "references": [[]]}',
        '{"format_version": 1, "sources": ["a", "b"], "references": [["c"]]}',
        '{"format_version": 1, "sources": [], "references": []}',
        '{"format_version": 1, "sources": [1], "references": [["c"]]}',
    ],
)  # fmt: skip
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UserError, match=r"bad\.json is no file of pairs"):
        Pairs.read(tmp_path / "bad.json")


def test_a_file_of_a_newer_format_says_so(tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text('{"format_version": 99}')
    with pytest.raises(UserError, match=r"new\.json was written by a newer cluit"):
        Pairs.read(tmp_path / "new.json")


def test_a_missing_file_and_a_missing_picture_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        Pairs.read(tmp_path / "none.json")
    pairs = random_pairs(NAMES, 2)
    with pytest.raises(UserError, match=r"lacks 1 pictures that the pairs name, cat/0\.png among them"):
        pairs.numbers(NAMES[1:])


def test_numbers_are_places_among_the_names() -> None:
    pairs = Pairs(("b", "a"), (("a", "c"), ("b", "c")))
    sources, references = pairs.numbers(["a", "b", "c"])
    assert sources.tolist() == [1, 0]
    assert references.tolist() == [[0, 2], [1, 2]]
    assert json.loads(json.dumps(pairs.each)) == 2


class Counting(Translator):
    """Adds the reference's mean colour to the source, and counts what is encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size = 8
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.encoded = {"structure": 0, "style": 0}

    def encode_structure(self, source: Tensor) -> Tensor:
        self.encoded["structure"] += len(source)
        return source * self.weight

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        self.encoded["style"] += len(reference)
        return reference.mean(dim=(2, 3)) * self.weight

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return structure + style[:, :, None, None]


class OfDomains(Counting):
    """Its style is the domain that it is told."""

    domains = ("cat", "dog", "fox")

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        assert domain is not None
        return domain[:, None].float() * self.weight


def test_each_picture_is_encoded_in_its_own_domain() -> None:
    pictures, domain = torch.zeros(9, 3, 8, 8, dtype=torch.uint8), torch.tensor([2, 0, 1] * 3)
    assert style_codes(OfDomains(), pictures, batch_size=4, domain=domain)[:, 0].tolist() == domain.tolist()


def test_every_picture_is_encoded_once_and_every_pair_painted() -> None:
    translator, pictures = Counting(), torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
    sources, references = torch.tensor([4, 0, 7]), torch.tensor([[1, 2], [3, 4], [0, 8]])
    styles = style_codes(translator, pictures, batch_size=4)
    structures = structure_codes(translator, pictures[sources], batch_size=2)
    outputs = translations(translator, structures, styles[references], batch_size=4)
    assert translator.encoded == {"structure": 3, "style": 9}
    assert outputs.shape == (3, 2, 3, 8, 8)
    for i, source in enumerate(sources):
        for j, reference in enumerate(references[i]):
            mean = to_unit(pictures[reference]).mean(dim=(1, 2))
            expected = to_bytes(to_unit(pictures[source]) + mean[:, None, None])
            assert (outputs[i, j].int() - expected.int()).abs().max() <= 1
