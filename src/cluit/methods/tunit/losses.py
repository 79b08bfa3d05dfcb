"""TUNIT's own terms; the general ones live in `cluit.losses`. All are computed in float32."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.distributed import summed
from cluit.losses.contrastive import info_nce

LEAST = 1e-10  # of a probability, before its logarithm


def mutual_information(logits: Tensor, view_logits: Tensor, counted: Tensor) -> Tensor:
    """Between the clusters of two views of a picture (Ji et al., "Invariant information clustering", 2019).

    logits, view_logits: (N, K); counted: (N,) bool, the pictures that take part. In nats: 0 where a cluster
    tells nothing of the other view's (and where no picture takes part), up to log(K) where both always agree
    and all clusters are equally large. The joint distribution is of the pictures of all ranks.
    """
    p, q = logits.float().softmax(dim=1), view_logits.float().softmax(dim=1) * counted[:, None]
    joint = summed((p[:, :, None] * q[:, None]).sum(dim=0))  # (K, K); autocast would round a matrix product
    joint = joint + joint.T
    joint = joint / joint.sum().clamp(min=LEAST)
    rows, columns = joint.sum(dim=1, keepdim=True), joint.sum(dim=0, keepdim=True)
    logs = [x.clamp(min=LEAST).log() for x in (joint, rows, columns)]
    return (joint.clamp(min=LEAST) * (logs[0] - logs[1] - logs[2])).sum()


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, in nats, over the pictures of all ranks that have a label; 0 where none has.

    logits: (N, K); labels: (N,) long, −1 for unknown.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=-1, reduction="sum")
    return summed(total) / summed((labels >= 0).sum()).clamp(min=1)


def style_contrast(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Recognise the style ``key`` among ``negatives``, by dot products of styles as they are.

    query, key: (N, S); negatives: (Q, S), none of them brought to unit length. In nats, as `info_nce`.
    """
    with torch.autocast(query.device.type, enabled=False):  # products are not bounded by 1 / temperature here
        return info_nce(query.float(), key.float(), negatives.float(), temperature)


def critic_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Logits (N, 1) of real and (M, 1) of fake pictures -> 2 when the critic says 0, 0 at a margin of 1."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def forger_hinge(fake: Tensor) -> Tensor:
    """Logits (N, 1) of fake pictures -> the less the better the critic is fooled, without bound."""
    return -fake.float().mean()
