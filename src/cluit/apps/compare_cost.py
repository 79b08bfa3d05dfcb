"""What the rows of a comparison cost: size, memory of a step, and the time of a translation."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch

from cluit.apps.measure import CONTIGUOUS, Job, Variant, count_flops, peak_memory, take_turns
from cluit.apps.planned import Outcome, Planned
from cluit.apps.settings import Settings
from cluit.core.machine import pick_device, pick_precision
from cluit.engine.log import read_log
from cluit.export import weights
from cluit.methods import CONFIGS
from cluit.nn.resample import written

ROUNDS = 20  # translations timed of each


def costs(runs: Sequence[Planned]) -> list[dict[str, Any]]:
    """Of each of these runs, all with a model, on its device and in its precision, as JSON values.

    parameters: trained ones; parameters_in_use: the translator's. macs, seconds: of one translation, both
    halves included; a median over rounds in which the rows take turns. step_bytes: what a training step of
    the row's batch takes at most, None where the system does not tell.
    """
    if not runs:
        return []
    device = pick_device(runs[0].settings.run.device)
    # as the model has it: some of a configuration is only known once the data are opened
    configs = [
        weights.read_config(weights.MODEL.read_card(run.folder / "model"), CONFIGS, run.folder)
        for run in runs
    ]
    jobs = [Job("translate", config, 1, device) for config in configs]
    variants = [variant_of(run.settings, device) for run in runs]
    works = {i: job.build(variant) for i, (job, variant) in enumerate(zip(jobs, variants, strict=True))}
    for work in works.values():
        work(0)
    seconds = take_turns(works, ROUNDS, device)
    steps = [
        Job("step", config, run.settings.run.batch_size, device)
        for config, run in zip(configs, runs, strict=True)
    ]
    with written():  # operations are the method's, not this machine's
        flops = [count_flops(job.build(CONTIGUOUS)) for job in jobs]
    return [
        {
            **parameters(config),
            "macs": flops[i] // 2,
            "seconds": statistics.median(seconds[i]),
            "step_bytes": peak_memory(steps[i], variants[i]),
        }
        for i, config in enumerate(configs)
    ]


def variant_of(settings: Settings, device: torch.device) -> Variant:
    """How a run of these settings stores its numbers."""
    name = str(pick_precision(settings.run.precision, device)).removeprefix("torch.")
    return Variant(cast(Literal["float32", "bfloat16"], name), channels_last=True)


def parameters(config: Any) -> dict[str, int]:
    """How many a method with this configuration trains, and how many its translator has."""
    with torch.device("meta"):
        method = config.build()
    groups = [group for optimizer in method.optimizers().values() for group in optimizer.param_groups]
    trained = {weight for group in groups for weight in group["params"]}  # a set: by identity
    return {
        "parameters": sum(weight.numel() for weight in trained),
        "parameters_in_use": sum(weight.numel() for weight in method.translator.parameters()),
    }


def speed(outcomes: Sequence[Outcome]) -> Mapping[str, float] | None:
    """Of one row's trainings the median pace between lines of the log, in steps and in pictures a second."""
    entries = [entry for one in outcomes for entry in read_log(one.run.folder / "log.jsonl")]
    paces = [entry["steps_per_second"] for entry in entries if "steps_per_second" in entry]
    if not paces:
        return None
    pace, batch = statistics.median(paces), outcomes[0].run.settings.run.batch_size
    return {"steps_per_second": pace, "pictures_per_second": pace * batch}
