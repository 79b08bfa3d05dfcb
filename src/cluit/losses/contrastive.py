"""Recognition among negatives (van den Oord et al., 2018; CLUIT Eq. 1, 4 and 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Recognise ``key`` among ``negatives``. All features are unit vectors.

    query, key: (N, D); negatives: (K, D). The mean over N, in nats: log(K + 1) when features say nothing,
    towards 0 as they say everything.
    """
    query, key = query.float(), key.float()
    positive = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ negatives.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def unit_mean(features: Tensor) -> Tensor:
    """Unit vectors (K, N, D) of K patches of N pictures -> the direction (N, D) of their mean (Eq. 5)."""
    return F.normalize(features.float().mean(dim=0), dim=1)
