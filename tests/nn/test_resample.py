import pytest
import torch
from torch import Tensor

from cluit.core.machine import cpu_class
from cluit.nn import resample


def slopes(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum that tells all of ``out`` apart."""
    told = torch.linspace(-1, 1, out.numel()).view(out.shape)
    return torch.autograd.grad((out * told).sum(), inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("one", "two"),
    [(resample.halve_at_once, resample.halve_after), (resample.double_at_once, resample.double_before)],
)
def test_one_convolution_is_both_there_and_back(one, two, layout) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(5, 3, 3, 3).contiguous(memory_format=layout).requires_grad_()
    bias = torch.randn(5, requires_grad=True)
    merged, apart = one(x, weight, bias), two(x, weight, bias)
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-5)
    for a, b in zip(slopes(merged, x, weight, bias), slopes(apart, x, weight, bias), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_one_convolution_has_a_second_gradient() -> None:
    torch.manual_seed(0)
    x, weight = (
        torch.randn(shape, dtype=torch.float32, requires_grad=True) for shape in ((1, 2, 4, 4), (2, 2, 3, 3))
    )
    found = list[Tensor]()
    for conv in (resample.halve_at_once, resample.halve_after):
        (slope,) = torch.autograd.grad(conv(x, weight, None).square().sum(), x, create_graph=True)
        found += torch.autograd.grad(slope.square().sum(), weight)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_a_layer_keeps_its_weights_whatever_way_it_takes() -> None:
    assert {name: tuple(one.shape) for name, one in resample.HalvingConv(3, 5).named_parameters()} == {
        "weight": (5, 3, 3, 3),
        "bias": (5,),
    }


def test_one_convolution_serves_half_precision() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 16, 16), torch.randn(5, 3, 3, 3)
    for one, two in (
        (resample.halve_at_once, resample.halve_after),
        (resample.double_at_once, resample.double_before),
    ):
        expected = two(x, weight, None)
        with torch.autocast("cpu", torch.bfloat16):
            under = one(x, weight, None)
        for found in (under, one(x.bfloat16(), weight.bfloat16(), None)):
            assert found.dtype == torch.bfloat16
            assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_small_pictures_and_what_outlives_the_machine_are_computed_as_written() -> None:
    x = torch.zeros(1, 1, 16, 16)
    here = resample.counts_products()
    assert here == (cpu_class() != "AMX")
    assert resample.pays(x, 16) == here
    assert not resample.pays(x, 8)
    with resample.written():
        assert not resample.pays(x, 16)
    assert resample.pays(x, 16) == here
