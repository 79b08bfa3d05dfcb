"""Filter response normalisation (Singh and Krishnan, CVPR 2020): a norm that needs neither batch nor mean."""

import torch
from torch import Tensor, nn


class FilterResponseNorm(nn.Module):
    """max(γ · x / √(mean x² + ε) + β, τ) for each channel of each picture; norm and activation in one.

    γ starts at 1, β and τ at 0, so that it begins as a ReLU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.threshold = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> the same
        power = x.float().square().mean(dim=(2, 3), keepdim=True)  # a sum in half precision loses small terms
        scale = (self.scale * torch.rsqrt(power + 1e-6)).to(x.dtype)
        above = torch.addcmul((self.bias - self.threshold).to(x.dtype), scale, x)
        return above.relu() + self.threshold.to(x.dtype)  # as the maximum, whose gradient costs far more
