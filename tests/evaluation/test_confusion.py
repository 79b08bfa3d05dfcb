"""A method that draws any species of a label is told from one that draws the reference's."""

import pytest
import torch

from cluit.data.factors import SPECIES
from cluit.data.portraits import Portraits
from cluit.evaluation.confusion import labels_of_species, species_confusion, within

CAT, DOG, FOX, MOUSE, PIG, RABBIT = range(6)
LABELS = ["wild", "dog", "wild", "small", "pig", "small"]


def many(count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Species of sources and references."""
    shown, wanted = torch.randint(0, 6, (2, count))
    return shown, wanted


def test_outputs_of_the_references_species_are_told_apart() -> None:
    shown, wanted = many()
    found = species_confusion(wanted, wanted, shown, LABELS)
    assert list(found["coarse"]) == ["small", "wild"]
    wild = found["coarse"]["wild"]
    assert (wild["reference"], wild["sibling"], wild["other"]) == (1, 0, 0)
    assert (wild["told_apart"], wild["chance"]) == (1, 0.5)
    assert torch.tensor(found["counts"]).diagonal().sum() == len(wanted)


@pytest.mark.parametrize("share_of_cats", [0.0, 0.5, 0.9])
def test_a_species_drawn_by_chance_is_not_told_apart_however_often_it_comes(share_of_cats: float) -> None:
    wanted = torch.where(torch.rand(4000) < 0.8, CAT, FOX)
    read = torch.where(torch.rand(4000) < share_of_cats, CAT, FOX)
    found = species_confusion(read, wanted, torch.full((4000,), DOG), LABELS)["coarse"]["wild"]
    assert found["told_apart"] == pytest.approx(0.5, abs=0.04)
    assert found["reference"] + found["sibling"] == pytest.approx(1)
    assert found["reference"] == pytest.approx(0.8 * share_of_cats + 0.2 * (1 - share_of_cats), abs=0.04)


def test_sources_of_the_same_label_do_not_count() -> None:
    """Where the source's species stays, a fox would seem to be drawn at random for a cat."""
    shown, wanted = many()
    found = species_confusion(shown, wanted, shown, LABELS)["coarse"]["wild"]
    assert (found["reference"], found["sibling"], found["other"]) == (0, 0, 1)
    assert found["told_apart"] is None
    wild = (wanted == CAT) | (wanted == FOX)
    assert found["outputs"] == (wild & (shown != CAT) & (shown != FOX)).sum()


def test_shares_are_of_the_outputs_that_were_asked_for_the_label() -> None:
    wanted = torch.tensor([CAT, CAT, CAT, CAT, FOX, PIG])
    read = torch.tensor([CAT, FOX, FOX, DOG, FOX, CAT])
    assert within(read, wanted, [CAT, FOX]) == pytest.approx(
        {"outputs": 5, "reference": 0.4, "sibling": 0.4, "other": 0.2, "told_apart": (1 / 3 + 1) / 2,
         "chance": 0.5}
    )  # fmt: skip


def test_a_label_of_which_only_one_species_comes_is_not_coarse() -> None:
    wanted = torch.tensor([CAT, CAT, MOUSE, RABBIT])
    assert list(species_confusion(wanted, wanted, torch.full((4,), DOG), LABELS)["coarse"]) == ["small"]
    assert species_confusion(wanted, wanted, torch.full((4,), DOG), SPECIES)["coarse"] == {}


def test_portraits_know_which_species_share_a_label() -> None:
    portraits = Portraits(
        60, 32, species_weights={"cat": 1, "fox": 1, "pig": 1}, coarse={"cat": "b", "fox": "b"}
    )
    assert labels_of_species(portraits) == ["b", "dog", "b", "mouse", "pig", "rabbit"]
