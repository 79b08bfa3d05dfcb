"""Measure speed and memory."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cluit.apps.commands.types import Device


def bench_step(
    *,
    method: tuple[str, ...] = ("cluit",),
    image_size: int = 64,
    width: int = 32,
    batch_size: tuple[int, ...] = (32,),
    accumulate: tuple[int, ...] = (1,),
    rounds: int = 8,
    device: Device = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Time a training step in each precision and memory format, and measure the memory that it needs.

    Args:
        method: Which, one or several; they take turns round by round.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        batch_size: Pictures per step, one number or several.
        accumulate: Parts that a batch is taken in, one number or several.
        rounds: Timed of each, two steps a round.
        device: Where.
        slow: Time bfloat16 even where this machine only imitates it.
        busy: Count the processor's time, as the machine has other work; with OMP_NUM_THREADS=1.
        json: Print JSON instead of a table.
    """
    from cluit.apps.bench import bench_step

    bench_step(
        method=method, image_size=image_size, width=width, batch_size=batch_size, accumulate=accumulate,
        rounds=rounds, device=device, slow=slow, busy=busy, json=json,
    )  # fmt: skip


def bench_translate(
    *,
    method: tuple[str, ...] = ("cluit",),
    image_size: int = 64,
    width: int = 32,
    batch_size: tuple[int, ...] = (1, 16),
    rounds: int = 8,
    device: Device = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Time a translation in each precision and memory format, and by onnxruntime where it is installed.

    Args:
        method: Which, one or several; they take turns round by round.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        batch_size: Translations at once, one number or several.
        rounds: Timed of each.
        device: Where.
        slow: Time bfloat16 even where this machine only imitates it.
        busy: Count the processor's time, as the machine has other work; with OMP_NUM_THREADS=1.
        json: Print JSON instead of a table.
    """
    from cluit.apps.bench import bench_translate

    bench_translate(
        method=method, image_size=image_size, width=width, batch_size=batch_size, rounds=rounds,
        device=device, slow=slow, busy=busy, json=json,
    )  # fmt: skip


def bench_evaluate(
    *,
    sources: int = 24,
    each: int = 10,
    image_size: int = 64,
    width: int = 32,
    features: str = "random",
    batch_size: int = 16,
    rounds: int = 5,
    device: Device = "auto",
    slow: bool = False,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Time an evaluation beside the loop that encodes source and reference anew for every pair.

    Says how much faster it can be at most, by counted multiply-adds, and how much of that is reached.

    Args:
        sources: Test pictures, each of which is a source.
        each: References for each.
        image_size: Side of the pictures.
        width: Channels of the first layer.
        features: The network that looks at outputs, as cluit evaluate takes it.
        batch_size: Pictures at once.
        rounds: Timed of each.
        device: Where.
        slow: Time bfloat16 even where this machine only imitates it.
        busy: Count the processor's time, as the machine has other work; with OMP_NUM_THREADS=1.
        json: Print JSON instead of lines.
    """
    from cluit.apps.bench_evaluate import bench_evaluate

    bench_evaluate(
        sources=sources, each=each, image_size=image_size, width=width, features=features,
        batch_size=batch_size, rounds=rounds, device=device, slow=slow, busy=busy, json=json,
    )  # fmt: skip


def bench_data(
    folder: Annotated[Path | None, Positional, arg(metavar="FOLDER")] = None,
    *,
    image_size: int = 64,
    batch_size: int = 32,
    pictures: int = 512,
    workers: int = 2,
    rounds: int = 5,
    busy: bool = False,
    json: bool = False,
) -> None:
    """Time the loading of pictures: from the disk, from memory, from tar shards.

    Beside it stands what a step on a fast GPU takes, and how long the opening of the folder lasts.

    Args:
        folder: Of pictures; without it portraits are drawn, as JPEG files of twice the size.
        image_size: Side that they are brought to.
        batch_size: Pictures per step.
        pictures: How many to load.
        workers: Threads that decode.
        rounds: Timed of each.
        busy: Count the processor's time of all threads, as the machine has other work: the rate of one core.
        json: Print JSON instead of lines.
    """
    from cluit.apps.bench_data import bench_data

    bench_data(
        folder, image_size=image_size, batch_size=batch_size, pictures=pictures, workers=workers,
        rounds=rounds, busy=busy, json=json,
    )  # fmt: skip


def bench_start(
    data: Annotated[str | None, Positional, arg(metavar="DATA")] = None,
    *,
    recipe: str = "small",
    rounds: int = 5,
    device: Device = "auto",
    json: bool = False,
) -> None:
    """Time the start: of the help beside a bare Python that imports numpy, and of a training on DATA.

    Whole processes. The training is ended as soon as its log has its first step; nothing of it is kept.

    Args:
        data: To train on, as cluit train takes it; without it only the help is timed.
        recipe: Of the training.
        rounds: Timed of each.
        device: Where to train.
        json: Print JSON instead of lines.
    """
    from cluit.apps.bench_start import bench_start

    bench_start(data, recipe=recipe, rounds=rounds, device=device, json=json)


def bench_growth(
    *,
    image_size: tuple[int, ...] = (64, 32, 128, 256),
    width: tuple[int, ...] = (16, 8, 32, 64),
    batch_size: tuple[int, ...] = (4, 2, 8, 16, 32),
    queue_size: tuple[int, ...] = (2048, 512, 8192, 32768),
    references: tuple[int, ...] = (4, 1, 2, 8, 16),
    rounds: int = 3,
    device: Device = "auto",
    busy: bool = False,
    out: Annotated[Path | None, arg(metavar="FILE.svg")] = None,
    json: bool = False,
) -> None:
    """Measure how time and memory of a step grow, and fit exponents to that.

    Each flag takes the values of one number; the first is what it has while others grow. It takes minutes.

    Args:
        image_size: Sides of the pictures.
        width: Channels of the first layer.
        batch_size: Pictures per step.
        queue_size: Keys that are remembered.
        references: Of one source, in a translation.
        rounds: Timed of each, two steps a round.
        device: Where.
        busy: Count the processor's time, as the machine has other work; with OMP_NUM_THREADS=1.
        out: A new file for the plot, with the expected power laws.
        json: Print JSON instead of tables.
    """
    from cluit.apps.bench_growth import bench_growth

    bench_growth(
        image_size=image_size, width=width, batch_size=batch_size, queue_size=queue_size,
        references=references, rounds=rounds, device=device, busy=busy, out=out, json=json,
    )  # fmt: skip


def bench_gpu(
    *,
    image_size: int = 128,
    width: int = 64,
    batch_size: int = 32,
    rounds: int = 4,
    minutes: float = 8.0,
    device: Device = "auto",
    json: bool = False,
) -> None:
    """Measure all that a CUDA machine gives, at the paper's setting, in less than eight minutes.

    Steps in float32, TF32 and bfloat16, channels_last, with fused Adam, compiled, by CUDA graphs, each with
    its share of the measured matrix peak; translations, evaluation, loading. What fails is a line. It runs on
    a CPU too: there take --image-size 32 --width 4 --batch-size 2.

    Args:
        image_size: Side of the pictures.
        width: Channels of the first layer.
        batch_size: Pictures per step.
        rounds: Timed of each setup, 16 steps a round.
        minutes: Nothing long begins later.
        device: Where.
        json: Print JSON at the end instead of lines as they come.
    """
    from cluit.apps.bench_gpu import bench_gpu

    bench_gpu(
        image_size=image_size, width=width, batch_size=batch_size, rounds=rounds, minutes=minutes,
        device=device, json=json,
    )  # fmt: skip


def bench_search(*, codes: int = 1_000_000, dim: int = 128, queries: int = 1000, json: bool = False) -> None:
    """Time an approximate index of style codes beside exact search; needs the extra search.

    Args:
        codes: How many, made up.
        dim: Numbers in each.
        queries: To time.
        json: Print JSON instead of lines.
    """
    from cluit.apps.bench_search import bench_search

    bench_search(codes=codes, dim=dim, queries=queries, json=json)
