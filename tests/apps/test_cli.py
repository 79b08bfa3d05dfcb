"""The commands as a user meets them: help at once, mistakes in a sentence, exit codes to rely on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image

from cluit.apps.cli import main, parse
from cluit.apps.commands import COMMANDS, SUMMARIES
from cluit.apps.flags import Group, explained, settings_as_flags, side_by_side
from cluit.apps.methods import table
from cluit.core.errors import UserError
from cluit.engine.checkpoint import checkpoints
from cluit.engine.log import read_log
from cluit.methods import CONFIGS

BENCH = cast(Group, COMMANDS["bench"])
TINY = [
    *(
        "--width",
        "8",
        "--critic-width",
        "8",
        "--style-dim",
        "16",
        "--contrast-dim",
        "32",
        "--queue-size",
        "64",
    ),
    *("--batch-size", "4", "--precision", "float32", "--device", "cpu", "--workers", "1", "--log-every", "1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for i in range(12):
        Image.new("RGB", (32, 32), (20 * i, 255 - 20 * i, 128)).save(root / f"{i}.png")
    return root


def refused(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 2) -> str:
    """The one sentence on standard error with which a command leaves."""
    with pytest.raises(SystemExit) as ending:
        main([str(word) for word in argv])
    assert ending.value.code == code
    message = capsys.readouterr().err.strip()
    assert "Traceback" not in message
    return message.splitlines()[-1]


@pytest.mark.parametrize("argv", ["--help", "train --help", "bench step --help", "translate --help"])
def test_help_needs_no_torch(argv: str) -> None:
    program = (
        "import sys, cluit.apps.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as ending: assert ending.code == 0\n"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules), 'too much was imported'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *argv.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
    assert "usage: cluit" in ran.stdout


def test_help_of_training_explains_the_methods_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["train", "--help"])
    assert ending.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--style-weight" in text
    assert "The same for the critic alone; the default is `width`." in text
    assert "default: None; small: 32)" in text


@pytest.mark.parametrize("columns", ["1", "60", "200"])
def test_help_of_all_commands_says_what_each_is_for(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for argv, commands in ((["--help"], COMMANDS), (["bench", "-h"], BENCH)):
        with pytest.raises(SystemExit) as ending:
            main(argv)
        assert ending.value.code == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= max(40, int(columns))
        text = " ".join(said.split())
        for name, entry in commands.items():
            first = (entry.__doc__ or "").partition("\n")[0] if callable(entry) else SUMMARIES[name]
            assert f" {name} {first}" in text


def test_settings_become_flags_only_for_a_command_that_has_them() -> None:
    settings_as_flags.cache_clear()
    parse(["methods"])
    assert settings_as_flags.cache_info().currsize == 0
    parse(["train", "faces", "--out", "run"])
    assert settings_as_flags.cache_info().currsize == 1


def test_help_says_whose_default_is_which() -> None:
    values = {"a": 128, "b": 128, "c": 2048, "d": ("cat", "dog")}
    assert side_by_side(values) == "128, c 2048, d cat dog"
    assert side_by_side({"b": ()}) == "none"
    assert explained({"a": "Of Adam.", "b": "Of Adam."}) == "Of Adam."
    assert explained({"a": "Of Adam.", "b": "Of all.", "c": "Of Adam."}) == "a, c: Of Adam. b: Of all."


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out.startswith("cluit ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("trian x --out r", "unknown command cluit trian; did you mean cluit train?"),
        ("bench stpe", "unknown command cluit bench stpe; did you mean cluit bench step?"),
        ("train x --otu r", "unknown flag --otu; did you mean --out?"),
        ("train --data x --out r", "DATA is given without a flag: leave out --data"),
        ("train x --out r --style-wieght=3", "unknown flag --style-wieght; did you mean --style-weight?"),
        ("train x --out r --no-such-thing", "unknown flag --no-such-thing"),
        ("methods --widht 3", "unknown flag --widht; did you mean --width?"),
    ],
)
def test_unknown_words_are_refused_with_the_nearest_known(
    capsys: pytest.CaptureFixture[str], argv: str, words: str
) -> None:
    assert words in refused(capsys, *argv.split())


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("", f"cluit needs a command: {', '.join(COMMANDS)}; see cluit --help"),
        (
            "bench",
            f"cluit bench needs a command: {', '.join(BENCH)}; see cluit bench --help",
        ),
        ("--foo", "unrecognized options: --foo; see cluit --help"),
        ("train x", "missing: --out RUN; see cluit train --help"),
        ("translate", "missing: MODEL, SOURCE, --out OUT; see cluit translate --help"),
        ("train x y --out r", "unrecognized options: y; see cluit train --help"),
        (
            "train x --out r --steps abc",
            "error parsing --steps: not a whole number: 'abc'; see cluit train --help",
        ),
        (
            "translate a b c --out r --device tpu",
            "invalid choice 'tpu' for argument '--device', expected one of ('auto', 'cpu', 'cuda', 'mps'); "
            "see cluit translate --help",
        ),
        (
            "methods --width",
            "missing value for argument '--width', expected 1 values; see cluit methods --help",
        ),
        (
            "data portraits o --coarse cat",
            "error parsing --coarse: it takes pairs of words; see cluit data portraits --help",
        ),
    ],
)
def test_incomplete_commands_are_one_sentence_and_code_two(
    argv: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "4")
    with pytest.raises(SystemExit) as ending:
        main(argv.split())
    assert ending.value.code == 2
    assert capsys.readouterr().err == f"cluit: {sentence}\n"
    assert os.environ["COLUMNS"] == "4"


def test_words_after_two_dashes_are_names(capsys: pytest.CaptureFixture[str]) -> None:
    words = parse(["translate", "a", "b", "--out", "o", "--", "--grid-of-mine.png"])
    assert words.keywords["reference"] == Path("--grid-of-mine.png")
    assert "--referenc; did you mean --resume?" in refused(capsys, "translate", "--referenc", "x")


@pytest.mark.parametrize("columns", ["1", "4"])
def test_help_ends_in_the_narrowest_terminal(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "--style-weight" in capsys.readouterr().out


def test_parsing_runs_nothing() -> None:
    words = ["train", "faces", "--out", "run", "--steps", "5", "--view-reference", "--critic-width", "None"]
    command = parse(words)
    assert command.func.__name__ == "train"
    assert command.keywords["settings"] == {"steps": 5, "view_reference": True, "critic_width": None}
    assert command.keywords["data"] == "faces"
    named = parse(["train", "faces", "--out", "run", "--domains", "cat", "dog"]).keywords["settings"]
    assert named == {"domains": ("cat", "dog")}
    assert parse(["bench", "translate", "--rounds", "2"]).keywords["rounds"] == 2
    with pytest.raises(UserError):
        parse(["train", "faces", "--out", "run", "--stesp", "5"])


def test_flags_win_over_the_file_and_the_file_over_the_recipe(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("style_weight: 5\ncycle-weight: 6\nrecipe: small-64\nimage_size: 32\n")
    run = tmp_path / "run"
    flags = f"--config {tmp_path / 'a.yaml'} --style-weight 7 --steps 1".split()
    main(["train", str(folder), "--out", str(run), *flags, *TINY])
    written = (run / "settings.yaml").read_text()
    for line in (
        "style_weight: 7.0",
        "cycle_weight: 6.0",
        "recipe: small-64",
        "r1_gamma: 0.3",
        "beta2: 0.99",
    ):
        assert line in written.splitlines()
    again = tmp_path / "again"
    main(["train", "--out", str(again), "--config", str(run / "settings.yaml")])
    assert (again / "settings.yaml").read_text() == written


def test_mistakes_of_training_are_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (tmp_path / "wrong.yaml").write_text("style_wieght: 3\n")
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.txt").write_text("years of work")
    (tmp_path / "few").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "few" / f"{i}.png")
    for words, argv in {
        "no folder at /nowhere": ("/nowhere", "--out", run),
        "batch_size must be even": (folder, "--out", run, "--batch-size", 3),
        "image_size must be one of": (folder, "--out", run, "--image-size", 100),
        "did you mean style_weight": (folder, "--out", run, "--config", tmp_path / "wrong.yaml"),
        "there is no run in": (folder, "--out", tmp_path / "none", "--resume"),
        "already holds other files": (folder, "--out", tmp_path / "occupied"),
        "is a file; choose a folder": (folder, "--out", tmp_path / "occupied" / "thesis.txt"),
        "cannot write": (folder, "--out", "/proc/run"),
        "only 3 pictures": (tmp_path / "few", "--out", tmp_path / "run3"),
        "portraits are drawn at 32, 64, 128, 256": (
            "portraits",
            "--out",
            tmp_path / "run4",
            "--image-size",
            512,
        ),
    }.items():
        message = refused(capsys, "train", *argv, "--steps", 1)
        assert words in message
        assert message.startswith("cluit: ")
    assert (tmp_path / "occupied" / "thesis.txt").read_text() == "years of work"
    assert len(list((tmp_path / "occupied").iterdir())) == 1
    if not torch.cuda.is_available():
        assert "no cuda device" in refused(capsys, "train", folder, "--out", run, "--device", "cuda")


def test_an_ablation_of_a_method_without_its_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("ablate", "weights", "portraits", "--out", tmp_path / "out", "--method", "tunit")
    assert "unknown recipe 'ablation' of the method tunit" in refused(capsys, *argv)
    message = refused(capsys, *argv, "--recipe", "small")
    assert (
        "ablations vary augmentation, crop_min, patches, cycle_weight, which tunit does not have" in message
    )
    assert not (tmp_path / "out").exists()


def test_divergence_leaves_with_code_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(
        capsys, "train", folder, "--out", tmp_path / "run", "--learning-rate", 1e30, *TINY, code=1
    )
    assert "training diverged" in message


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves_with_its_code(
    folder: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "cluit", "train", str(folder), "--out", str(run), *TINY]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not (run / "log.jsonl").exists() or not read_log(run / "log.jsonl"):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
    assert process.returncode == code
    assert "--resume goes on" in message
    assert "Traceback" not in message
    assert len(checkpoints(run)) == 1


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files is as near to a full disk as a test should come."""
    resource = pytest.importorskip("resource")
    run = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        message = refused(capsys, "train", folder, "--out", run, "--steps", 2, *TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot write" in message
    main(["train", "--out", str(run), "--resume"])
    assert list(checkpoints(run)) == [2]


PUBLISHED = {
    "cluit": {"style_encoder": (16_195_776, 4.07), "critic": (20_456_769, 4.08)},
    "tunit": {
        "generator": (27_333_763, 16.8),
        "guide": (9_296_778, 2.4),
        "critic": (70_935_242, 11.0),
    },
    "swapae": {
        "encoder": (30_584_872, 1.0),
        "generator": (25_064_743, 11.6),
        "critic": (28_384_513, 31.7),
        "patch_critic": (24_522_145, 9.2 / 8),  # the published cost is of 8 patches
    },
    "starganv2": {
        "generator": (33_632_003, 36.6),
        "mapping": (3_259_072, 3_252_224e-9),  # one for each weight that is no bias
        "style_encoder": (20_832_576, 12.3),
        "critic": (20_735_619, 12.3),
    },
}
"""Parameters and GMACs of each network at 128 px, of the appendix or counted in the published code. CLUIT's
generator is asked for by itself, as its norms leave two counts."""

POOLED_FIRST = {
    ("cluit", "style_encoder"): (64, 64, 64),
    ("cluit", "critic"): (64, 64, 64),
    ("tunit", "critic"): (64, 64, 64, 64),
    ("starganv2", "generator"): (128, 128, 128, 128),
    ("starganv2", "style_encoder"): (128, 128),
    ("starganv2", "critic"): (128, 128),
}
"""Shortcuts whose 1×1 convolution to twice (or half) the channels is computed at the smaller of two sizes,
with the same result. Each by the channels that it would have at 128 px, at the same cost."""


def test_methods_count_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    main(["methods", "--image-size", "128", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["methods"].keys() == CONFIGS.keys()
    assert 24_745_219 <= record["methods"]["cluit"]["generator"]["parameters"] <= 24_751_235
    for method, networks in PUBLISHED.items():
        for name, (parameters, gmacs) in networks.items():
            cost = record["methods"][method][name]
            assert cost["parameters"] == parameters
            saved = sum(0.75 * 128 * 128 * c * 2 * c for c in POOLED_FIRST.get((method, name), ()))
            assert cost["macs"] + saved == pytest.approx(gmacs * 1e9, rel=0.05 if gmacs < 3 else 5e-3)
    told = table(record)
    assert "24,745,219 parameters" in told
    assert "starganv2, for 3 classes" in told


def test_methods_refuse_impossible_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "image_size must be one of" in refused(capsys, "methods", "--image-size", 100)


def test_portraits_become_a_folder_that_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "portraits"
    main(["data", "portraits", str(out), "--count", "12", "--size", "32"])
    assert len(list(out.rglob("*.png"))) == 12
    assert (out / "factors.csv").exists()
    main(["train", str(out), "--out", str(tmp_path / "run"), "--steps", "1", *TINY])
    assert "8 pictures, 4 held out" in capsys.readouterr().err


def test_the_judge_of_portraits_can_be_trained_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "reader", str(tmp_path / "reader.safetensors"), "--steps", "2"])
    assert "species" in capsys.readouterr().out
    assert "already there" in refused(capsys, "data", "reader", tmp_path / "reader.safetensors")


def test_a_runs_model_is_saved_by_itself_and_not_over_another(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["save", str(tiny_model), "--out", str(tmp_path / "half"), "--half"])
    whole, half = (folder / "model.safetensors" for folder in (tiny_model, tmp_path / "half"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert "already holds a model" in refused(capsys, "save", tiny_model, "--out", tmp_path / "half")
    stranger = tmp_path / "stranger" / "model.safetensors"
    stranger.parent.mkdir()
    stranger.write_text("years of work")
    assert "already holds a model" in refused(capsys, "save", tiny_model, "--out", stranger.parent)
    assert stranger.read_text() == "years of work"
    main(["save", str(tiny_model), "--out", str(tmp_path / "half"), "--overwrite"])
    assert half.stat().st_size == whole.stat().st_size
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    photos = refused(capsys, "save", tiny_model, "--out", tmp_path / "photos")
    assert "holds other files and no model" in photos


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_no_model_is_saved_into_the_root_of_a_run(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    """It would win over best/ and model/, which go on changing."""
    run = tmp_path / "run"
    shutil.copytree(tiny_model, run / "model")
    (run / "settings.yaml").write_text("")
    assert "is a run" in refused(capsys, "save", run, "--out", run, *more)
    assert not list(run.glob("model.*"))


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("--help | true", 141, ""),
        ("--version | true", 141, ""),
        ("--version > /dev/full", 2, "cannot use the output: No space left on device"),
        ("--help > /dev/full", 2, "cannot use the output: No space left on device"),
        ("trian 2> /dev/full", 2, ""),
        ("trian 2>&1 | true", 2, ""),
        ("trian 2>&-", 2, ""),
        ("--version >&-", 0, ""),
    ],
)
def test_closed_and_full_outputs_end_without_a_traceback(command: str, code: int, message: str) -> None:
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    script = f"""(sleep 0.1; exec {sys.executable} -m cluit {command.replace("| true", "")}); echo $? >&3"""
    script = f"( {script} ) | true" if "| true" in command else script
    reading, writing = os.pipe()
    ran = subprocess.run(
        ["bash", "-c", f"exec 3>&{writing}; {script}"],
        pass_fds=[writing],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(writing)
    with os.fdopen(reading) as codes:
        assert int(codes.read()) == code
    assert ran.stderr.count("\n") == bool(message)
    assert message in ran.stderr


def test_a_path_that_the_system_refuses_is_one_sentence(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8)).save(picture)
    for argv in (
        ("train", picture.parent, "--out", tmp_path / name),
        ("train", tmp_path / name, "--out", tmp_path / "run"),
        ("train", picture.parent, "--out", tmp_path / "run", "--config", tmp_path / name),
        ("translate", tiny_model, tmp_path / name, picture, "--out", tmp_path / "o.png"),
        ("translate", tiny_model, picture, picture, "--out", tmp_path / f"{name}.png"),
        ("translate", tmp_path / name, picture, picture, "--out", tmp_path / "o.png"),
        ("save", tiny_model, "--out", tmp_path / name),
        ("data", "portraits", tmp_path / name, "--count", 1),
        ("data", "reader", tmp_path / name),
        ("demo", "--out", tmp_path / name),
    ):
        assert "File name too long" in refused(capsys, *argv)
