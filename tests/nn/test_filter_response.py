import torch

from cluit.nn.filter_response import FilterResponseNorm


def test_each_channel_of_each_picture_is_brought_to_unit_power_and_cut_off_at_its_threshold() -> None:
    norm, x = FilterResponseNorm(2), torch.randn(3, 2, 4, 4) * 7
    with torch.no_grad():
        for weight in norm.parameters():
            weight.copy_(torch.randn_like(weight))
    for n in range(3):
        for c in range(2):
            unit = x[n, c] / x[n, c].square().mean().sqrt()
            expected = (norm.scale[c] * unit + norm.bias[c]).clamp(min=norm.threshold[c].item())
            torch.testing.assert_close(norm(x)[n, c], expected)


def test_it_begins_as_a_relu_of_unit_power() -> None:
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(FilterResponseNorm(3)(5 * x), FilterResponseNorm(3)(x))
    torch.testing.assert_close(FilterResponseNorm(3)(x) > 0, x > 0)


def test_nothing_and_huge_values_stay_finite_in_bfloat16_and_so_do_their_gradients() -> None:
    for value in (0.0, 1e-20, 3e18):
        x = torch.full((1, 2, 4, 4), value, dtype=torch.bfloat16, requires_grad=True)
        y = FilterResponseNorm(2)(x)
        y.float().sum().backward()
        assert y.dtype == torch.bfloat16
        assert x.grad is not None
        assert torch.isfinite(y).all()
        assert torch.isfinite(x.grad).all()
