"""How different the outputs of one source are."""

import torch
from torch import Tensor


def mean_pairwise_distance(features: Tensor) -> Tensor:
    """(P, E, D), the features of E outputs of each of P sources -> (P,): the mean Euclidean distance of two.

    In the features' own unit: compare it only under one network, and with that of the references themselves.
    0 where all outputs of a source are alike; NaN for a single output.
    """
    each = features.shape[1]
    # the plain form: the faster one through inner products is not quite 0 for equal rows
    distances = torch.cdist(features.float(), features.float(), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.sum(dim=(1, 2)) / (each * (each - 1) or float("nan"))
