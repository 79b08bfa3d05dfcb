"""Which codes are alike, by cosine: exact search in bounded memory, and an approximate index for millions.

The paper's similarity search (section 4.2, Figure 6) normalises style codes and sorts them by cosine.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.core.errors import UserError
from cluit.core.extras import needs

QUERIES = 256  # looked for together
ROUNDING = 1e-6  # of one cosine computed in two ways
BLOCK = 2**24  # similarities in memory at a time: 64 MiB
LINKS, BUILD_EFFORT, SEARCH_EFFORT = 32, 80, 128  # M, efConstruction and efSearch of Malkov & Yashunin


def nearest(codes: Tensor, query: Tensor, k: int, *, without: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The ``k`` codes most like each query, exactly: cosine similarities and indices, (Q, k), best first.

    codes: (N, S); query: (Q, S). without: (Q,) long, the code that each query must not find: itself.
    Beside the codes it takes memory for ``BLOCK`` similarities and for one normalised block of codes, however
    many codes there are. Equal codes come in no particular order; a code of zeros is like nothing (0).
    UserError where there are not ``k`` codes to find.
    """
    require_codes(codes, query)
    require_count(k, len(codes) - (without is not None))
    found = []
    for first in range(0, len(query), QUERIES):
        rows = slice(first, first + QUERIES)
        found.append(_best(codes, query[rows], k, None if without is None else without[rows]))
    similarities, indices = zip(*found, strict=True)
    return torch.cat(similarities), torch.cat(indices)


def _best(codes: Tensor, query: Tensor, k: int, without: Tensor | None) -> tuple[Tensor, Tensor]:
    """`nearest` for a few queries."""
    best = torch.empty(len(query), 0, device=codes.device)
    where = torch.empty(len(query), 0, dtype=torch.long, device=codes.device)
    for first, block in similarities(codes, query):
        if without is not None:
            own = without.to(codes.device) - first
            rows = ((own >= 0) & (own < block.shape[1])).nonzero()[:, 0]
            block[rows, own[rows]] = -torch.inf
        values, columns = block.topk(min(k, block.shape[1]), dim=1)
        best, where = torch.cat([best, values], dim=1), torch.cat([where, columns + first], dim=1)
        best, kept = best.topk(min(k, best.shape[1]), dim=1)
        where = where.gather(1, kept)
    return best, where


def similarities(codes: Tensor, query: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The cosines of ``query`` (Q, S) with all ``codes`` (N, S): blocks (Q, n) and their first columns."""
    unit = F.normalize(query.to(codes.device).float(), dim=1)
    columns = max(1, BLOCK // max(1, len(query), codes.shape[1]))
    for first in range(0, len(codes), columns):
        yield first, unit @ F.normalize(codes[first : first + columns].float(), dim=1).T


def precision_at_k(codes: Tensor, labels: Tensor, k: int = 10) -> Tensor:
    """(N,): the share of each code's ``k`` nearest others that have its label, itself left out.

    codes: (N, S); labels: (N,) long. A class of m pictures cannot reach more than (m - 1) / k.
    """
    _, found = nearest(codes, codes, k, without=torch.arange(len(codes)))
    labels = labels.to(found.device)
    return (labels[found] == labels[:, None]).float().mean(dim=1)


def ranks(codes: Tensor, query: Tensor, target: Tensor) -> Tensor:
    """(Q,) long: the place, from 1, of each query's own target among all codes and this target.

    codes: (N, S), none of them a target; query, target: (Q, S). What is as alike counts as more alike, so
    that codes that say nothing have the last place. Recall@k is the share of ranks up to k.
    """
    require_codes(codes, query)
    place = torch.ones(len(query), dtype=torch.long, device=codes.device)
    for first in range(0, len(query), QUERIES):
        rows = slice(first, first + QUERIES)
        own = F.cosine_similarity(query[rows].float(), target[rows].float(), dim=1).to(codes.device)
        for _, block in similarities(codes, query[rows]):
            place[rows] += (block >= own[:, None] - ROUNDING).sum(dim=1)
    return place


def recall(found: Tensor, exact: Tensor) -> float:
    """The share of true neighbours that an approximate search finds, over all queries.

    found, exact: (Q, k), indices of each query's neighbours, in any order.
    """
    return (found[:, :, None] == exact[:, None]).any(dim=1).float().mean().item()


class ApproximateIndex:
    """A graph through the codes (HNSW; Malkov & Yashunin, 2018), by faiss: for millions of them.

    A search looks at a few hundred codes rather than at all; now and then it misses a near one.
    """

    def __init__(self, codes: Tensor, progress: Callable[[int], None] | None = None) -> None:
        """codes: (N, S). progress: called with the number of codes in the graph so far."""
        faiss = needs("faiss", "an approximate index", "search")
        self.graph = faiss.IndexHNSWFlat(codes.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.graph.hnsw.efConstruction = BUILD_EFFORT
        for part in codes.split(4096):
            self.graph.add(as_unit_array(part))
            if progress is not None:
                progress(self.graph.ntotal)

    def nearest(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As the function of this name: cosine similarities and indices, (Q, k)."""
        require_count(k, self.graph.ntotal)
        self.graph.hnsw.efSearch = max(SEARCH_EFFORT, 2 * k)
        similarity, index = self.graph.search(as_unit_array(query), k)
        return torch.from_numpy(similarity), torch.from_numpy(index)

    def stored(self) -> Tensor:
        """The whole index as bytes, uint8 (B,)."""
        faiss = needs("faiss", "an approximate index", "search")
        return torch.from_numpy(faiss.serialize_index(self.graph).copy())

    @classmethod
    def restored(cls, stored: Tensor) -> "ApproximateIndex":
        """The index that ``stored`` gave these bytes."""
        faiss = needs("faiss", "an approximate index", "search")
        index = cls.__new__(cls)
        index.graph = faiss.deserialize_index(stored.numpy())
        return index


def as_unit_array(codes: Tensor) -> np.ndarray:
    """(N, S) float32, normalised, as faiss wants it."""
    return np.ascontiguousarray(F.normalize(codes.detach().cpu().float(), dim=1).numpy())


def require_codes(codes: Tensor, query: Tensor) -> None:
    """ValueError for what is not two tables of one width."""
    if codes.ndim != 2 or query.ndim != 2 or codes.shape[1] != query.shape[1]:
        raise ValueError(f"codes (N, S) and queries (Q, S) do not fit: {codes.shape} and {query.shape}")


def require_count(k: int, most: int) -> None:
    if not 1 <= k <= most:
        raise UserError(f"{k} nearest pictures were asked for, there are {most}; choose k from 1 to {most}")
