"""Batch norm whose batch is that of all ranks."""

import torch
from torch import Tensor, nn

from cluit.core import distributed


class BatchNorm2d(nn.BatchNorm2d):
    """(N, C, H, W) -> the same shape; as torch's own, but by the statistics of all ranks' pictures (Ioffe and
    Szegedy, 2015).

    Every rank must have as many pictures. Torch's SyncBatchNorm is for CUDA alone; this asks no more of a
    device than that its ranks can gather. One process, and a network in use, has torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or distributed.world() == 1:
            return super().forward(x)
        pixels = x.float()
        own = torch.stack(torch.var_mean(pixels, dim=(0, 2, 3), correction=0))
        variances, means = distributed.gather(own[None]).unbind(dim=1)  # (world, C) each
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        if self.track_running_stats:
            self.record(mean.detach(), variance.detach(), distributed.world() * x[:, 0].numel())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(shown(self.bias), pixels - shown(mean), shown(scale)).to(x.dtype)

    def record(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; ``variance`` is of ``count`` numbers, and becomes unbiased."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def shown(channels: Tensor) -> Tensor:
    """(C,) -> (C, 1, 1)."""
    return channels[:, None, None]
