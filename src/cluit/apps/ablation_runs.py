"""What an ablation trains: rows, and for each row and seed an ordinary run whose folder its settings name."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluit.apps.pictures import PORTRAITS, require_others
from cluit.apps.planned import Planned
from cluit.apps.settings import Settings, layered, listed
from cluit.apps.train import absolute
from cluit.core.errors import UserError

Name = Literal["augmentation", "match", "weights"]

RECIPE = "ablation"
FACTORS = (1 / 4, 4, 16)  # of the base's values of what is SWEPT, one at a time
SEEDS: Mapping[Name, int] = {"augmentation": 3, "match": 3, "weights": 1}
VARIED: Mapping[Name, Sequence[str]] = {
    "augmentation": ("augmentation", "crop_min"),
    "match": ("patches",),
    "weights": (),  # these are multiples of the base's
}
SWEPT = {"cycle_weight": "λ of the cycle", "r1_gamma": "γ of R1"}
"""What the ablation ``weights`` varies, and what it is called, the paper's letter first."""


@dataclass(frozen=True)
class Row:
    """One line of an ablation's table."""

    title: str
    changes: Mapping[str, Any]
    """Settings in which it differs from the recipe, those of the base included where the table names them."""
    base: bool = False
    """Whether the others are compared with it."""
    paper: tuple[float, float] | None = None
    """What the paper's table has, of AFHQ: mFID and accuracy, here as a share."""


def rows_of(name: Name, base: Any) -> list[Row]:
    """The rows of the paper's Table 2 or 3, or a sweep over two weights around those of ``base``.

    base: CLUIT's configuration. UserError where a weight of it has no multiples.
    """
    if name == "augmentation":
        return [
            Row("color, crop 0.125 to 1", views("color", 0.125), paper=(21.25, 0.949)),
            Row(
                "color+affine, crop 0.125 to 1", views("color+affine", 0.125), base=True, paper=(17.84, 0.961)
            ),
            Row("color+affine, crop 0.5 to 1", views("color+affine", 0.5), paper=(18.12, 0.966)),
            Row("color+affine, crop 0.9 to 1", views("color+affine", 0.9), paper=(20.71, 0.958)),
        ]
    if name == "match":
        return [
            Row("full image", {"patches": 0}, paper=(19.08, 0.958)),
            Row("1 patch", {"patches": 1}, paper=(20.43, 0.93)),
            Row("4 patches", {"patches": 4}, base=True, paper=(17.84, 0.961)),
            Row("8 patches", {"patches": 8}, paper=(17.98, 0.964)),
        ]
    if not all(getattr(base, setting) > 0 for setting in SWEPT):
        raise UserError(f"the ablation weights takes multiples of {' and '.join(SWEPT)}; give both above 0")
    rows = [Row(f"λ {base.cycle_weight:g}, γ {base.r1_gamma:g}", {}, base=True)]
    for setting, called in SWEPT.items():
        values = [getattr(base, setting) * factor for factor in FACTORS]
        rows += [Row(f"{called[0]} {value:g}", {setting: value}) for value in values]
    return rows


def views(augmentation: str, crop_min: float) -> Mapping[str, Any]:
    """Settings of a row of Table 2."""
    return {"augmentation": augmentation, "crop_min": crop_min}


def plan(
    name: Name, data: str, out: Path, seeds: int, named: Mapping[str, Any]
) -> tuple[list[Row], list[Planned]]:
    """The rows, and their runs below ``out``, all rows with the first seed first.

    named: settings as of `cluit train`, flags before a file's; the rest come from the recipe. ``seed`` is the
    first of the seeds. UserError for settings that an ablation cannot have.
    """
    if seeds < 1:
        raise UserError(f"an ablation needs at least 1 seed, not {seeds}")
    if taken := [setting for setting in VARIED[name] if named.get(setting) is not None]:
        raise UserError(f"the ablation {name} varies {listed(taken)} by itself; leave it out")
    if data != PORTRAITS and named.get("held_out") is None:
        raise UserError("runs are scored on pictures that none was trained on; add --held-out FOLDER")
    if named.get("held_out") is not None:
        require_others(data, named["held_out"], "held-out")
    if named.get("minutes") is not None:
        raise UserError("rows are compared after as many steps each; give --steps in place of --minutes")
    named = absolute({**named, "data": data})
    base = layered(named, RECIPE)
    varied = [*itertools.chain(*VARIED.values()), *SWEPT]
    if lacking := [setting for setting in varied if not hasattr(base.config, setting)]:
        raise UserError(f"ablations vary {', '.join(lacking)}, which {base.run.method} does not have")
    rows = rows_of(name, base.config)
    seeded = range(base.run.seed, base.run.seed + seeds)
    settings = [
        (number, layered({**named, **row.changes, "seed": seed}, RECIPE))
        for seed in seeded
        for number, row in enumerate(rows)
    ]
    return rows, [
        Planned(number, one.run.seed, out / "runs" / folder_name(one), one) for number, one in settings
    ]


def folder_name(settings: Settings) -> str:
    """Of all that any ablation varies: so a row that two of them share is one run."""
    c = settings.config
    return (
        f"{c.augmentation}-crop{c.crop_min:g}-patches{c.patches}-cycle{c.cycle_weight:g}-gamma{c.r1_gamma:g}"
        f"-seed{settings.run.seed}"
    )
