"""StarGAN v2's own terms, by the equations of the paper; the general ones live in `cluit.losses`."""

import torch.nn.functional as F
from torch import Tensor


def style_reconstruction(seen: Tensor, style: Tensor) -> Tensor:
    """Eq. 2: mean |E(G(x, s)) − s|. seen, style: (N, S), a fake's style as read and as given."""
    return F.l1_loss(seen.float(), style.float())


def diversity(fake: Tensor, other: Tensor) -> Tensor:
    """Eq. 3: mean |G(x, s₁) − G(x, s₂)|, which the generator *increases*.

    fake, other: (N, 3, H, W), of the same sources in two styles of one domain. No gradient reaches ``other``.
    """
    return F.l1_loss(fake.float(), other.detach().float())


def cycle(back: Tensor, source: Tensor) -> Tensor:
    """Eq. 4: mean |G(G(x, s), E(x)) − x|. back, source: (N, 3, H, W)."""
    return F.l1_loss(back.float(), source.float())


def falling(weight: float, t: int, steps: int) -> float:
    """A weight on its straight way from ``weight`` at step 0 to nothing at step ``steps``, where it stays.

    A function of ``t`` alone: a resumed run needs to remember nothing.
    """
    return weight * max(0.0, 1 - t / steps)
