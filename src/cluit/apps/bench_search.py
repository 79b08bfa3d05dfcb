"""`cluit bench search`: an approximate index beside exact search, on as many codes as one likes."""

import json as codec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cluit.analysis.neighbours import nearest, recall
from cluit.apps.search import linked
from cluit.core.errors import UserError
from cluit.core.extras import needs
from cluit.core.machine import describe, peak_memory
from cluit.evaluation.clock import Clock

K = 10
FREEDOMS = 16  # directions in which the codes vary freely
NOISE = 0.3  # and how far they do in all others, as a share of that


def bench_search(*, codes: int = 1_000_000, dim: int = 128, queries: int = 1000, json: bool = False) -> None:
    """Measure time and memory of an index of made-up ``codes``, its queries a second, and its recall@10."""
    if min(dim, queries) < 1 or codes <= K:
        raise UserError(
            f"a search needs more than {K} codes of 1 dimension or more and 1 query or more, "
            f"got {codes}, {dim} and {queries}"
        )
    needs("faiss", "an approximate index", "search")
    known, asked = made_up(codes + queries, dim).split([codes, queries])
    clock = Clock()
    with clock.running("build", known):
        graph = linked(known)
    with clock.running("approximate", asked):
        near = graph.nearest(asked, K)[1]
    with clock.running("exact", asked):
        exact = nearest(known, asked, K)[1]
    seconds = {phase: spent.seconds for phase, spent in clock.phases.items()}
    record: dict[str, Any] = {
        "machine": describe(torch.device("cpu")),
        "codes": codes,
        "dim": dim,
        "queries": queries,
        "build_seconds": seconds["build"],
        "index_bytes": len(graph.stored()),
        "code_bytes": known.nbytes,
        "approximate_queries_per_second": queries / seconds["approximate"],
        "exact_queries_per_second": queries / seconds["exact"],
        "recall_at_10": recall(near, exact),
        "peak_memory": peak_memory(torch.device("cpu")),
    }
    print(codec.dumps(record, indent=2) if json else told(record))


def made_up(count: int, dim: int) -> Tensor:
    """(count, dim), unit vectors near a plane of ``FREEDOMS`` dimensions: codes of pictures that differ in
    so many ways. Among directions without any plan there would be no near neighbours to find."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(FREEDOMS, dim, generator=generator) / FREEDOMS**0.5
    codes = torch.randn(count, FREEDOMS, generator=generator) @ plane
    codes += NOISE * torch.randn(count, dim, generator=generator)
    return F.normalize(codes, dim=1)


def told(record: dict[str, Any]) -> str:
    """For people."""
    sizes = record["code_bytes"], record["index_bytes"], record["peak_memory"].get("process", 0)
    codes, index, process = (f"{size / 2**20:,.0f} MiB" for size in sizes)
    return (
        f"{record['machine']}\n"
        f"{record['codes']:,} codes of {record['dim']} numbers, {codes}: index built in "
        f"{record['build_seconds']:,.1f} s, {index}; the process had {process} at most\n"
        f"queries a second: {record['approximate_queries_per_second']:,.0f} by the index, "
        f"{record['exact_queries_per_second']:,.0f} exact; recall@{K} {record['recall_at_10']:.3f}"
    )
