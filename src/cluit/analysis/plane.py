"""The style space as a picture: codes laid out in the plane so that neighbours stay neighbours."""

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.extras import needs

By = Literal["tsne", "umap"]
FEWEST = 5
NEIGHBOURS = 30  # t-SNE's perplexity; fewer where there are few codes


def project(codes: Tensor, by: By = "tsne", seed: int = 0) -> Tensor:
    """(N, S) -> (N, 2), centred, the farthest point at distance 1: only the directions of codes count.

    by: t-SNE (van der Maaten & Hinton, 2008) by scikit-learn or UMAP (McInnes et al., 2018) by umap-learn.
    The same codes and seed give the same plane on the same machine. UserError for fewer than ``FEWEST``
    codes, for an unknown way, and where its library is missing.
    """
    if by not in get_args(By):
        raise UserError(f"a map is made by tsne or umap, not by {by!r}")
    if len(codes) < FEWEST:
        raise UserError(f"a map needs at least {FEWEST} pictures, got {len(codes)}")
    unit = F.normalize(codes.detach().cpu().float(), dim=1).numpy()
    place = torch.from_numpy((tsne if by == "tsne" else umap)(unit, seed)).float()
    place = place - place.mean(dim=0)
    return place / place.norm(dim=1).max().clamp(min=1e-12)


def tsne(unit: np.ndarray, seed: int) -> np.ndarray:
    """Euclidean distances of unit vectors order pairs as their cosines do."""
    manifold = needs("sklearn.manifold", "a t-SNE map", "analysis")
    perplexity = min(NEIGHBOURS, (len(unit) - 1) / 3)
    return manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)


def umap(unit: np.ndarray, seed: int) -> np.ndarray:
    library = needs("umap", "a UMAP map", "umap")
    neighbours = min(15, len(unit) - 1)
    reducer = library.UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1)
    return reducer.fit_transform(unit)


def kept_neighbours(codes: Tensor, place: Tensor, k: int = 10) -> float:
    """The trustworthiness (Venna & Kaski, 2001) of a plane (N, 2) of ``codes`` (N, S), 1 at best, about 0.5
    for chance: whether those who are neighbours in the plane are near in the space of codes.
    """
    manifold = needs("sklearn.manifold", "the trustworthiness of a map", "analysis")
    unit = F.normalize(codes.detach().cpu().float(), dim=1).numpy()
    return float(manifold.trustworthiness(unit, place.numpy(), n_neighbors=min(k, (len(unit) - 1) // 2)))
