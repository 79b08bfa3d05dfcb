"""The averaged translator follows the one that trains."""

import torch
from toy_training import ToyConfig, ToyTranslator

from cluit.engine.average import Average


def test_it_is_a_copy_for_use_not_for_training() -> None:
    model = ToyTranslator(ToyConfig())
    average = Average(model)
    assert model.training
    assert not average.translator.training
    assert not any(weight.requires_grad for weight in average.translator.parameters())
    assert not {w.data_ptr() for w in model.parameters()} & {
        w.data_ptr() for w in average.translator.parameters()
    }


def test_of_what_is_there_a_share_stays() -> None:
    model = ToyTranslator(ToyConfig())
    average = Average(model)
    start = model.encoder.weight.detach().clone()
    with torch.no_grad():
        model.encoder.weight.add_(1)
    average.follow(model, 0.75)
    torch.testing.assert_close(average.translator.get_parameter("encoder.weight"), start + 0.25)
    average.follow(model, 0.0)
    torch.testing.assert_close(average.translator.get_parameter("encoder.weight"), start + 1)


def test_buffers_are_copied() -> None:
    model = ToyTranslator(ToyConfig())
    average = Average(model)
    model.encode_structure(torch.randn(8, 3, 4, 4))
    average.follow(model, 0.999)
    torch.testing.assert_close(average.translator.get_buffer("norm.running_mean"), model.norm.running_mean)
    assert average.translator.get_buffer("norm.num_batches_tracked") == 1


def test_its_state_is_the_translators() -> None:
    model = ToyTranslator(ToyConfig())
    average, other = Average(model), Average(ToyTranslator(ToyConfig()))
    other.load_state_dict(average.state_dict())
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in model.state_dict().items())
