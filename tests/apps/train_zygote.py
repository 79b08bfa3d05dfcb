"""A process that has torch loaded and forks a training for each line of standard input: FOLDER RUN.

A test may so kill dozens of trainings in seconds. An empty line waits for the latest and prints its status.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from cluit.apps.train import train

SETTINGS: dict[str, Any] = {
    "width": 8,
    "critic_width": 8,
    "style_dim": 16,
    "contrast_dim": 32,
    "queue_size": 64,
    "batch_size": 4,
    "steps": 12,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "log_every": 1,
    "grid_every": 3,
    "score_every": 2,
    "save_every": 2,
}


def main() -> None:
    torch.set_num_threads(1)
    child = 0
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip():
            folder, run = line.split()
            child = os.fork()
            if child == 0:
                train(folder, out=run, resume=Path(run).exists(), **SETTINGS)
                os._exit(0)
            print(child, flush=True)
        else:
            print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
