"""The non-saturating game (Goodfellow et al., 2014; CLUIT Eq. 2) and its regulariser."""

import torch
import torch.nn.functional as F
from torch import Tensor


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logits (N, 1) of real and (M, 1) of fake pictures -> nats; 2·ln 2 when the critic cannot tell."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def forger_loss(fake: Tensor) -> Tensor:
    """Logits (N, 1) of fake pictures -> nats; towards 0 as the critic is fooled."""
    return F.softplus(-fake.float()).mean()


def r1_penalty(real: Tensor, images: Tensor) -> Tensor:
    """½ E‖∇ₓ D(x)‖², summed over pixels (Mescheder et al., 2018). Differentiable once more.

    real: (N, 1) logits of ``images`` (N, 3, H, W), which require a gradient.
    """
    (slope,) = torch.autograd.grad(real.sum(), images, create_graph=True)
    return 0.5 * slope.float().square().sum(dim=(1, 2, 3)).mean()
