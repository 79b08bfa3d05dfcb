"""What an answer comes to, block by block."""

import pytest
import torch
from torch import Tensor

from cluit.data.labels import Labels
from cluit.data.portraits import Portraits
from cluit.evaluation.crowd import Crowd
from cluit.evaluation.examiner import Judged
from cluit.evaluation.kernel import Block
from cluit.evaluation.reader import POSE_SPREAD, FaceReader, true_pose
from cluit.evaluation.tally import Tally
from cluit.evaluation.truth import TruthSet, measure

SOURCES, EACH, DIM = 9, 4, 6


def judged(logits: Tensor | None = None) -> Judged:
    return Judged([torch.randn(SOURCES, EACH, DIM)], logits, torch.rand(SOURCES, EACH), None)


def tallied(answer: Judged, block: int, near: Tensor | None = None) -> Tally:
    tally = Tally([Crowd(DIM, 2, torch.arange(0, SOURCES * EACH, 3))], near)
    for rows in torch.arange(SOURCES).split(block):
        part = Judged(
            [features[rows] for features in answer.features],
            None if answer.oracle is None else answer.oracle[rows],
            answer.structure[rows],
            None,
        )
        tally.add(part, torch.arange(EACH).expand(len(rows), EACH) % 2)
    return tally


def test_blocks_of_any_size_come_to_the_same() -> None:
    answer = judged(torch.randn(SOURCES, EACH, 3))
    real = Crowd(DIM, 2, torch.arange(50))
    real.add(torch.randn(50, DIM), torch.arange(50) % 2)
    compared = [Block(torch.arange(20), torch.tensor([9, 3, 30]))]
    few, many = (tallied(answer, size).scores([real], ["net"], ["a", "b"], compared) for size in (SOURCES, 2))
    assert few["structure_kept"] == pytest.approx(answer.structure.mean().item())
    assert few["networks"]["net"].pop("class_frechet") == pytest.approx(
        many["networks"]["net"].pop("class_frechet"), rel=1e-9
    )
    assert few["networks"]["net"]["kernel"] == many["networks"]["net"]["kernel"]
    assert few["networks"]["net"]["frechet"] == pytest.approx(many["networks"]["net"]["frechet"], rel=1e-9)
    assert few["networks"]["net"]["diversity"] == pytest.approx(many["networks"]["net"]["diversity"])


def test_nearest_is_the_distance_to_the_nearest_real_picture() -> None:
    answer, real = judged(), torch.randn(20, DIM)
    nearest = tallied(answer, 4, real).nearest
    assert nearest is not None
    plain = (answer.features[0][:, :, None] - real).norm(dim=-1).amin(dim=2)
    assert torch.allclose(nearest, plain, atol=1e-4)
    assert tallied(answer, 4).nearest is None


def test_belief_is_the_probability_of_the_references_class() -> None:
    logits = torch.randn(SOURCES, EACH, 3)
    wanted = torch.randint(0, 3, (SOURCES, EACH))
    belief = tallied(judged(logits), 4).belief(wanted)
    assert belief is not None
    assert belief[2, 1].item() == pytest.approx(logits[2, 1].softmax(dim=0)[wanted[2, 1]].item())
    assert tallied(judged(), 4).belief(wanted) is None


def test_belief_in_attributes_is_the_mean_over_them() -> None:
    logits = torch.tensor([2.0, -1.0]).expand(SOURCES, EACH, 2)
    wanted = torch.tensor([True, True]).expand(SOURCES, EACH, 2)
    belief = tallied(judged(logits), 4).belief(wanted)
    expected = (torch.tensor(2.0).sigmoid() + torch.tensor(-1.0).sigmoid()) / 2
    assert belief is not None
    assert torch.allclose(belief, expected.expand(SOURCES, EACH))


def test_accuracy_asks_for_what_the_reference_is() -> None:
    labels = Labels(("cat", "dog"), torch.tensor([0, 1, 1, 0]))
    references = torch.arange(EACH).expand(SOURCES, EACH)
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).expand(SOURCES, EACH, 2)
    marks = tallied(judged(logits), 4).marks(labels, references)
    assert marks is not None
    assert marks.accuracy == 0.75
    assert marks.each() == {"cat": 1.0, "dog": 0.5}


def test_pose_errors_are_those_of_the_reading_in_standard_deviations() -> None:
    portraits = Portraits(6, 32, split="test")
    sources, references = torch.tensor([0, 1]), torch.tensor([[2, 3], [4, 5]])
    truth = TruthSet.of(portraits, sources.repeat_interleave(2), references.flatten())
    reader = FaceReader.load()
    tally = Tally([Crowd(DIM)])
    for outputs, rows in ((truth.truths, slice(0, 2)), (truth.references, slice(2, 4))):
        measured = measure(outputs[rows], truth.truths[rows], truth.face[rows], reader)
        tally.add(Judged([torch.randn(1, 2, DIM)], None, torch.rand(1, 2), measured), None)
    errors = tally.pose_errors(portraits, sources)
    assert errors is not None
    assert errors[0].max() < 0.6 < errors[1].min()
    off = (true_pose(portraits.structure[[4]]) - true_pose(portraits.structure[[1]]))[0]
    expected = (off / torch.tensor(POSE_SPREAD)).square().mean().sqrt()
    assert errors[1, 0].item() == pytest.approx(expected.item(), abs=0.5)
