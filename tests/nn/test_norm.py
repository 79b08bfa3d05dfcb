import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.nn.norm import instance_norm


def as_torch_has_it(x: Tensor, gain: Tensor, bias: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(gain * F.instance_norm(x) + bias, slope)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 4, 1, 1), (4, 1, 1)])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_it_agrees_with_torch_there_and_back(
    layout: torch.memory_format, shape: tuple[int, ...], slope: float
) -> None:
    torch.manual_seed(0)
    x = (torch.randn(3, 4, 6, 6) * 3 + 5).contiguous(memory_format=layout).requires_grad_()
    gain, bias = (torch.randn(shape, requires_grad=True) for _ in range(2))
    told = torch.randn(3, 4, 6, 6)
    ours, theirs = instance_norm(x, gain, bias, slope), as_torch_has_it(x, gain, bias, slope)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert ours.stride() == x.stride()
    for a, b in zip(
        *(torch.autograd.grad((y * told).sum(), (x, gain, bias)) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_without_a_gradient_it_is_the_same() -> None:
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    with torch.no_grad():
        silent = instance_norm(x, slope=0.2)
    assert torch.equal(silent, instance_norm(x, slope=0.2))


def test_a_mean_far_from_zero_does_no_harm() -> None:
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(
        instance_norm((x + 1000).float()), F.instance_norm(x).float(), rtol=1e-2, atol=1e-3
    )


def test_half_precision_stays_half_with_means_in_float32() -> None:
    x = (torch.randn(2, 3, 16, 16) + 3).bfloat16().requires_grad_()
    y = instance_norm(x, slope=0.2)
    assert y.dtype == torch.bfloat16
    (slope,) = torch.autograd.grad(y.float().square().sum(), x)
    assert slope.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), F.leaky_relu(F.instance_norm(x.float()), 0.2), rtol=0.05, atol=0.05)


def test_a_second_gradient_is_refused_rather_than_wrong() -> None:
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(instance_norm(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
