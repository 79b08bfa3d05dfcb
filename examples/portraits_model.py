"""The shipped model of portraits, from nothing: python portraits_model.py OUT

Nine stretches, each from the networks of the one before; docs/portraits.md says what came of each. Fifty
minutes of one core with bfloat16, two hours of two cores without. The same command goes on after a stop, bit
for bit. Each stretch is a run of its own, OUT/1 to OUT/9, with log, grids and page.
"""

import argparse
import sys
from pathlib import Path

import cluit

STRETCHES = (
    # crop_min, style, cycle, reconstruction, settle_steps, γ, rate, steps
    (0.5, 3, 5, 40, 3000, 0.05, 1e-3, 896),
    (0.6, 4, 100, 100, 3000, 0.05, 1e-3, 354),
    (0.6, 6, 60, 50, 800, 0.05, 1e-3, 618),
    (0.6, 6, 15, 0, 800, 0.05, 1e-3, 713),
    (0.6, 3, 15, 0, 800, 0.5, 7e-4, 1040),
    (0.6, 3, 25, 0, 800, 2, 8e-4, 1322),
    (0.6, 3, 35, 0, 800, 2, 3e-4, 662),
    (0.6, 3, 50, 0, 800, 2, 3e-4, 1058),
    (0.6, 3, 60, 0, 800, 2, 2e-4, 400),
)


def train(out: Path) -> None:
    before = None
    for number, stretch in enumerate(STRETCHES, start=1):
        crop_min, style, cycle, reconstruction, settle_steps, gamma, rate, steps = stretch
        run = out / str(number)
        print(f"stretch {number} of {len(STRETCHES)}", flush=True)
        cluit.train(
            "portraits",
            out=run,
            resume=(run / "settings.yaml").exists(),
            init_from=before,
            recipe="small",
            crop_min=crop_min,
            style_weight=style,
            cycle_weight_start=cycle,
            cycle_weight=cycle,
            reconstruction_weight_start=reconstruction,
            settle_steps=settle_steps,
            r1_gamma=gamma,
            learning_rate=rate,
            steps=steps,
            score_every=150,
        )
        before = str(run)  # all of its networks; its model would be the translator alone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The shipped model of portraits, from nothing.")
    parser.add_argument("out", type=Path, help="a folder for the nine runs, or one that holds some of them")
    try:
        train(parser.parse_args().out)
    except cluit.UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
