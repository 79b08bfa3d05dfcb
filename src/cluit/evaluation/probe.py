"""What features know: how well a linear function of them names labels that no training saw."""

import torch
from torch import Tensor


def linear_probe(
    features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor, ridge: float = 1e-2
) -> float:
    """Share of test labels that a ridge regression onto one-hot labels names right; chance is 1 / classes.

    features: (N, D), test_features: (M, D), standardised here by the first; labels: (N,) and (M,) long.
    ridge: weight decay relative to the mean variance, so that the number of pictures does not matter.
    """
    x, y = features.double(), test_features.double()
    mean, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-8)
    x, y = ((z - mean) / spread for z in (x, y))
    classes = int(max(labels.max(), test_labels.max())) + 1
    targets = torch.nn.functional.one_hot(labels, classes).double()
    middle = targets.mean(dim=0)
    gram = x.T @ x + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights = torch.linalg.solve(gram, x.T @ (targets - middle))
    return ((y @ weights + middle).argmax(dim=1) == test_labels).double().mean().item()
