"""One page of each kind, written by the commands themselves where these take no more than seconds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from cluit.apps import (
    ablate_page,
    clusters_page,
    compare_page,
    compare_plan,
    compare_table,
    demo,
    evaluation_set,
    oracle_page,
    report,
    stylemap,
)
from cluit.apps.ablation_runs import plan
from cluit.apps.ablation_table import QUALITY, TRUTH, summaries
from cluit.apps.api import load
from cluit.apps.evaluate import evaluate
from cluit.apps.gallery import open_gallery
from cluit.apps.interpolate import interpolate
from cluit.apps.monitor import POSE
from cluit.apps.planned import Outcome
from cluit.apps.run_page import CHARTS, write_run_page
from cluit.apps.scorer import OF_REFERENCE
from cluit.apps.search import search
from cluit.apps.settings import layered
from cluit.apps.truths import COLUMNS
from cluit.core.images import as_picture
from cluit.data.factors import SPECIES
from cluit.data.portrait_folder import write_folder
from cluit.evaluation.marks import Marks
from cluit.evaluation.oracle import Oracle, save_oracle
from cluit.evaluation.truth import held_out_pairs

PAGES = (
    "clusters",
    "comparison",
    "demo",
    "evaluation",
    "failures",
    "interpolation",
    "map",
    "oracle",
    "attributes",
    "run",
    "search",
    "ablation",
)


def write_every_page(folder: Path, model: Path) -> dict[str, Path]:
    """One page of each kind, of pictures and models that are as small as can be, by its name."""
    data, oracle = folder / "data", folder / "oracle"
    write_folder(data, 14, 32, split="test", species_weights={"cat": 1, "dog": 1})
    save_oracle(oracle, Oracle(list(SPECIES), depth=18, width=2, image_size=32), {})
    paths = sorted(data.rglob("*.png"))
    usual: Any = {"device": "cpu", "precision": "float32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(evaluation_set, "PORTRAITS_COUNT", 12)
        evaluate(
            model, "portraits", out=folder / "evaluation", each=2, limit=3, features=["random"],
            oracle=oracle, **usual,
        )  # fmt: skip
    interpolate(
        model, paths[0], paths[-2:], out=folder / "interpolation", frames=9, features="random",
        animation=folder / "walk.gif", seconds=0.1, **usual,
    )  # fmt: skip
    search(model, data, [paths[0]], out=folder / "search", k=5, features="random", **usual)
    write_clusters(folder / "clusters" / "index.html", data)
    write_map(folder / "map" / "index.html")
    write_oracle_page(folder / "oracle" / "report.html", several=False)
    write_oracle_page(folder / "attributes" / "report.html", several=True)
    write_run(folder / "run")
    write_ablation(folder / "ablation")
    write_comparison(folder / "comparison")
    write_demo(folder / "demo" / "index.html", model)
    special = {
        "failures": "evaluation/worst.html",
        "ablation": "ablation/weights.html",
        **{k: f"{k}/report.html" for k in ("oracle", "attributes", "run")},
    }
    return {name: folder / special.get(name, f"{name}/index.html") for name in PAGES}


def write_map(path: Path) -> None:
    """One picture amid a ring of others, without the library that lays them out."""
    pictures = [Image.new("RGB", (48, 48), (200, 20 * i, 90)) for i in range(13)]
    ring = [math.tau * i / 12 for i in range(12)]
    places = [(0.0, 0.0), *((math.cos(angle), math.sin(angle)) for angle in ring)]
    record = {
        "settings": {"model": "portraits", "data": str(path.parent), "by": "tsne", "seed": 0},
        "machine": "a machine",
        "classes": ["cat", "dog"],
        "skipped": {},
        "pictures": [{"name": f"{i}.png", "class": i % 2, "x": x, "y": y} for i, (x, y) in enumerate(places)],
        "trustworthiness": 0.9,
        "precision_at_10": {"codes": 0.5, "map": 0.5},
        "seconds": {"codes": 1.0, "layout": 1.0},
    }
    report.write(path, stylemap.document(record, pictures, stylemap.class_colours(2)), record)


def write_clusters(path: Path, data: Path) -> None:
    """Three clusters of one folder's pictures, the last of them empty, without a model that has any."""
    gallery = open_gallery(data, 32, 0)
    none = {"number": 2, "size": 0, "share": 0.0, "surest": []}
    some = [
        {
            "number": number,
            "size": 1234,
            "share": 0.5,
            "probability": 0.987,
            "label": gallery.classes[number],
            "label_share": 0.75,
            "surest": [{"name": name, "probability": 0.999} for name in gallery.names],
        }
        for number in range(2)
    ]
    scores = {"accuracy": None, "purity": 0.75, "normalised_mutual_information": 0.5}
    record = {
        "settings": {"model": "run", "data": str(data), "each": 24, "count": 1000},
        "machine": "a machine",
        "pictures": 2468,
        "skipped": {"damaged.png": "no picture"},
        "classes": gallery.classes,
        "clusters": [*some, none],
        "scores": dict.fromkeys(("the model's clusters", "one cluster of all"), scores),
        "notes": ["No accuracy: a library is missing."],
        "seconds": {"assignment": 1.0},
    }
    report.write(path, clusters_page.document(record, clusters_page.rows_of(record, gallery)), record)


def write_oracle_page(path: Path, several: bool) -> None:
    names = (
        "upright ears",
        "whiskers",
        "a background that is warm",
        "glasses",
        "striped",
        "spotted",
        "dark coat",
    )
    counts = torch.randint(1, 1000, (7, 2, 2)) if several else torch.randint(1, 1000, (7, 7))
    marks = Marks(names, counts)
    trials = [{"step": 500 * i, "loss": 1 / i, "marks": marks.record()} for i in range(1, 60)]
    record = {
        "settings": {
            "data": str(path.parent),
            "test": None,
            "seed": 0,
            "image_size": 32,
            "classes": list(names),
        },
        "machine": "a machine",
        "network": "resnet18-width2",
        "pictures": 4000,
        "skipped": {},
        "trials": trials,
        "seconds": {"training": 60.0},
        "pictures_per_second": {"training": 1234.5},
    }
    report.write(path, oracle_page.document(record, marks, marks), record)


def log_lines(scores: dict[str, float]) -> list[dict[str, Any]]:
    """A log of 30,000 steps."""
    steps = range(0, 30_000, 500)
    losses = [{"step": t, "seconds": t / 9, "contrast": 2 + t % 3000 / 1e4, "fool": 1e5 - t} for t in steps]
    return losses + [{"step": t, "seconds": t / 9, **scores} for t in steps[::10]]


def write_run(run: Path) -> None:
    names = {name for _, series in CHARTS.values() for name in series}
    (run / "grids").mkdir(parents=True)
    noise(9 * 32).save(run / "grids" / "step-00029500.png")
    lines = log_lines({name: 0.1 * i for i, name in enumerate(sorted(names))})
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"method": "cluit", "data": str(run.parent / "data"), "image_size": 32, "device": "cpu"}
    write_run_page(run, layered(settings), 29_500)


def write_ablation(folder: Path) -> None:
    """A sweep whose last run failed."""
    rows, runs = plan("weights", "portraits", folder, 1, {})
    names = (*QUALITY[:1], *QUALITY[2:], *TRUTH, *POSE, *(OF_REFERENCE + name for name in POSE))
    outcomes = [Outcome(run, dict.fromkeys(names, 0.5 + run.row)) for run in runs[:-1]]
    outcomes.append(Outcome(runs[-1], {}, f"{runs[-1].folder} is full; free some space"))
    record = {
        "name": "weights",
        "command": f"cluit ablate weights portraits --out {folder}",
        "settings": runs[0].settings.flat(),
        "seeds": [0],
        "machine": "a machine",
        "test": {"sources": 250, "each": 10},
        "network": "oracle:resnet18-width16",
        "oracle": "resnet18-width16",
        "oracle_accuracy": 0.99,
        "notes": ["No Fréchet distance of cat, dog: fewer than two show it.", f"Under {folder} it is damp."],
        "rows": summaries(rows, outcomes),
        "seconds": {"training": 60.0},
    }
    ablate_page.write(folder, record, outcomes, noise(64))


def write_comparison(folder: Path) -> None:
    """Two rows with two seeds, of which one failed and one learned nothing, and one row that did."""
    specs, settings = ("cluit", "cluit:cycle_weight=2,patches=8"), {"recipe": "small"}
    rows, runs = compare_plan.plan("portraits", folder, specs, 3200, 2, settings)
    share = {"accuracy": 0.5, "each": dict.fromkeys(SPECIES, 0.5)}
    of_network = {"mean_class_frechet": 17.8, "kernel": 0.01, "class_frechet": dict.fromkeys(SPECIES, 17.8)}
    scores: dict[str, Any] = {
        "networks": dict.fromkeys(("efficientnet-lite0", "oracle:resnet18-width16"), of_network),
        "oracle": share, "structure_kept": 0.5, "truth": dict.fromkeys(COLUMNS, 0.5),
        "reference_pose": dict.fromkeys(POSE, 0.1),
    }  # fmt: skip
    trivial = {name: {**scores, "truth": {"mae_background": 10.0}} for name in ("source", "average")}
    entries = [{"source_effect": effect, "reference_effect": 0.9} for effect in (0.6, 0.6, 0.6, 0.0)]
    entries = [{**one, "colour": 9.0, "colour_of_source": 31.0} for one in entries]
    outcomes = [Outcome(one, {"record": scores, "entry": it}) for one, it in zip(runs, entries, strict=True)]
    outcomes[1] = Outcome(runs[1], {}, f"{runs[1].folder} is full; free some space")
    for one in runs:
        one.folder.mkdir(parents=True)
        lines = [{"step": 100 * t, "seconds": 60.0 * t, "mae": 30 - t, "realism": 3.0} for t in range(4)]
        (one.folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {
        "name": compare_page.NAME,
        "command": f"cluit compare portraits --out {folder}",
        "budget": {"pictures": 3200},
        "seeds": [0, 1],
        "machine": "a machine",
        "test": {"image_size": 32, "sources": 250, "each": 10},
        "oracle": {"name": "resnet18-width16", "test": {"accuracy": 0.99}},
        "notes": [f"Under {folder} it is damp."],
        "rounds": 20,
        "rows": [
            {
                **row,
                "settings": settings,
                "cost": {"parameters": 4e6, "parameters_in_use": 2e6, "macs": 1e8, "seconds": 0.02},
                "speed": {"steps_per_second": 5.0, "pictures_per_second": 160.0},
            }
            for row in compare_table.summaries(rows, outcomes, trivial)
        ],
        "trivial": {
            name: {"scores": compare_table.figures(one), "classes": {}} for name, one in trivial.items()
        },
        "seconds": {"training": 60.0},
        "settings": {"seed": 0},
    }
    compare_page.write(folder, record, outcomes, noise(64))


def write_demo(path: Path, model: Path) -> None:
    scores = dict.fromkeys(COLUMNS, 0.5)
    record = {
        "settings": {"run": str(path.parent / "run"), "seed": 0},
        "machine": "a machine",
        "steps": 480,
        "scores": dict.fromkeys(("this run, 480 steps", "return source", "return average"), scores),
        "seconds": {"training": 60.0},
    }
    painter = load(model, device="cpu", precision="float32")
    page = demo.document(record, painter, held_out_pairs(12, 32), log_lines({"realism": 0.1}))
    report.write(path, page, record)


def noise(side: int) -> Image.Image:
    pixels: Tensor = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    return as_picture(pixels)
