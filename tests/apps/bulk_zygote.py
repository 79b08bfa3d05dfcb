"""A process that has torch loaded and forks a job for each line of standard input: MODEL PICTURES OUT WORDS.

A test may so kill dozens of jobs in seconds. An empty line waits for the latest and prints its status.
"""

import os
import sys

import torch

from cluit.apps.cli import main

OPTIONS = ["--precision", "float32", "--device", "cpu", "--batch-size", "4", "--workers", "2", "--resume"]


def serve() -> None:
    torch.set_num_threads(1)
    child = 0
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip():
            model, pictures, out, *words = line.split()
            child = os.fork()
            if child == 0:
                sys.stdout = sys.stderr
                main(["translate", model, pictures, pictures, "--out", out, *words, *OPTIONS])
                os._exit(0)
            print(child, flush=True)
        else:
            print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
