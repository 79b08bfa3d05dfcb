"""Learned clusters: which pictures are in each, how sure the model is, how they agree with labels."""

from typing import NamedTuple

import torch
from torch import Tensor

from cluit.core.extras import needs


class Assignment(NamedTuple):
    """Of N pictures, the cluster of each."""

    cluster: Tensor  # (N,) long
    probability: Tensor  # (N,) double, what the model gives that cluster

    def surest(self, cluster: int, count: int) -> Tensor:
        """(M,) long: at most ``count`` pictures of a cluster, the surest first, equals in their order."""
        members = (self.cluster == cluster).nonzero()[:, 0]
        order = self.probability[members].argsort(descending=True, stable=True)
        return members[order[:count]]


def assignment(logits: Tensor) -> Assignment:
    """(N, K) logits -> the most probable cluster of each picture."""
    probability, cluster = logits.double().softmax(dim=1).max(dim=1)  # in float many would be equally sure
    return Assignment(cluster, probability)


def contingency(cluster: Tensor, labels: Tensor, clusters: int, classes: int) -> Tensor:
    """(K, C) long: how many pictures of each class are in each cluster. cluster, labels: (N,) long."""
    return torch.bincount(cluster * classes + labels, minlength=clusters * classes).view(clusters, classes)


def clustering_accuracy(table: Tensor) -> float:
    """The share of pictures in the cluster of their class, clusters and classes being matched one to one so
    that it is largest (by the Hungarian method; Kuhn, 1955).

    table: (K, C), see `contingency`. Where there are more clusters than classes, pictures of those left over
    count as wrong, and so do classes left over where there are fewer. UserError where scipy is missing.
    """
    optimize = needs("scipy.optimize", "clustering accuracy", "analysis")
    counts = table.numpy()
    return float(counts[optimize.linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def purity(table: Tensor) -> float:
    """The share of pictures of their cluster's most frequent class; more clusters can only raise it.

    table: (K, C), see `contingency`.
    """
    return (table.amax(dim=1).sum() / table.sum()).item()


def normalised_mutual_information(table: Tensor) -> float:
    """Mutual information of clusters and classes over the mean of both entropies: 0 where clusters say
    nothing of classes, 1 where each tells the other. table: (K, C), see `contingency`.
    """
    joint = table.double() / table.sum()
    clusters, classes, both = (entropy(p) for p in (joint.sum(dim=1), joint.sum(dim=0), joint.flatten()))
    if clusters + classes == 0:  # one cluster, one class
        return 1.0
    return max(0.0, 2 * (clusters + classes - both) / (clusters + classes))


def entropy(probabilities: Tensor) -> float:
    """(N,) that sum to 1 -> nats."""
    return torch.special.entr(probabilities).sum().item()
