"""What can be asked for: a table of plain functions, whose parameters are the flags.

torch is imported only once a command runs, so that help and refusals come at once.
"""

from collections.abc import Mapping

from cluit.apps.commands.exploring import clusters, interpolate, search, style_map
from cluit.apps.commands.exporting import bench_export, export
from cluit.apps.commands.making import data_portraits, data_prepare, data_reader, data_shards
from cluit.apps.commands.measuring import evaluate, oracle
from cluit.apps.commands.serving import app
from cluit.apps.commands.sharing import push, save
from cluit.apps.commands.timing import (
    bench_data,
    bench_evaluate,
    bench_gpu,
    bench_growth,
    bench_search,
    bench_start,
    bench_step,
    bench_translate,
)
from cluit.apps.commands.training import ablate, compare, demo, methods, train
from cluit.apps.commands.translating import translate
from cluit.apps.flags import Command, Group

COMMANDS: Mapping[str, Command | Group] = {
    "train": train,
    "translate": translate,
    "app": app,
    "evaluate": evaluate,
    "oracle": oracle,
    "search": search,
    "interpolate": interpolate,
    "map": style_map,
    "clusters": clusters,
    "ablate": ablate,
    "compare": compare,
    "methods": methods,
    "save": save,
    "push": push,
    "export": export,
    "data": {
        "portraits": data_portraits,
        "prepare": data_prepare,
        "shards": data_shards,
        "reader": data_reader,
    },
    "bench": {
        "step": bench_step,
        "translate": bench_translate,
        "evaluate": bench_evaluate,
        "data": bench_data,
        "start": bench_start,
        "growth": bench_growth,
        "gpu": bench_gpu,
        "search": bench_search,
        "export": bench_export,
    },
    "demo": demo,
}
SUMMARIES = {
    "": "Repaint any picture in the style of any other, learned from a folder of unlabelled pictures: "
    "`cluit train FOLDER --out RUN`, then `cluit translate RUN SOURCE REFERENCE --out OUT`. "
    "`cluit --version` says which release this is.",
    "data": "Make data sets: portraits, published ones, tar shards; and the judge that reads portraits.",
    "bench": "Measure speed and memory: step, translate, evaluate, data, start, growth, gpu, search, export.",
}
