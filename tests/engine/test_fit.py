"""The loop: what it promises to methods, hooks and whoever stops it."""

import signal
import threading
from pathlib import Path

import pytest
import torch
from toy_training import CPU, ToyConfig, ToyMethod, batches, final_state, same, train

from cluit.core.types import Batch, Descend, Metrics, Translator
from cluit.engine.average import Average
from cluit.engine.checkpoint import latest_checkpoint
from cluit.engine.descent import Descent
from cluit.engine.divergence import Diverged
from cluit.engine.fit import Hook, every, fit
from cluit.engine.log import Meter, read_log
from cluit.engine.stop import StopSignals


def logged(run: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in read_log(run / "log.jsonl")]


def test_stopping_and_resuming_changes_nothing(tmp_path: Path) -> None:
    train(tmp_path / "straight", 8)
    for steps in (2, 5, 8):
        train(tmp_path / "halting", steps)
    assert same(final_state(tmp_path / "straight"), final_state(tmp_path / "halting"))
    assert logged(tmp_path / "straight") == logged(tmp_path / "halting")


def draw(*_: object) -> None:
    torch.manual_seed(5)


def test_hooks_may_draw_random_numbers(tmp_path: Path) -> None:
    train(tmp_path / "plain", 4)
    train(tmp_path / "hooked", 4, hooks=[draw])
    assert same(final_state(tmp_path / "plain"), final_state(tmp_path / "hooked"))


def test_a_hook_hears_of_completed_steps_and_sees_the_average() -> None:
    method = ToyMethod(ToyConfig())
    average, heard = Average(method.translator), []

    def hook(t: int, metrics: Metrics, translator: Translator) -> None:
        assert translator is average.translator
        heard.append((t, sorted(metrics)))

    done = fit(
        method, batches(5), Descent(method.optimizers()), average, range(5, 7), [hook], seed=0, device=CPU
    )
    assert done == 7
    assert heard == [(6, ["critic", "keep"]), (7, ["critic", "keep", "now and then"])]


def test_no_steps_left_is_no_step() -> None:
    method = ToyMethod(ToyConfig())
    descend, average = Descent(method.optimizers()), Average(method.translator)
    assert fit(method, batches(9), descend, average, range(9, 4), seed=0, device=CPU) == 9


def test_each_step_runs_in_the_precision_asked_for() -> None:
    seen = []

    class Watching(ToyMethod):
        def step(self, batch: Batch, descend: Descend, t: int) -> Metrics:
            seen.append(self.critic(batch.images.flatten(1)).dtype)
            return super().step(batch, descend, t)

    for precision in (torch.float32, torch.bfloat16):
        method = Watching(ToyConfig())
        descend, average = Descent(method.optimizers()), Average(method.translator)
        fit(method, batches(0), descend, average, range(1), precision=precision, seed=0, device=CPU)
    assert seen == [torch.float32, torch.bfloat16]


def test_every_nth_step_and_the_last_if_asked() -> None:
    heard: list[int] = []
    note: Hook = lambda t, *_: heard.append(t)  # noqa: E731
    translator = ToyMethod(ToyConfig()).translator
    for t in range(1, 8):
        every(3, note)(t, {}, translator)
    assert heard == [3, 6]
    for t in range(1, 8):
        every(3, note, last=7)(t, {}, translator)
    assert heard == [3, 6, 3, 6, 7]


def test_nan_stops_the_run_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="step 6") as raised:
        train(tmp_path / "run", 20, save_every=2, log_every=100, poison=4)
    assert "not finite" in str(raised.value)
    newest = latest_checkpoint(tmp_path / "run")
    assert newest is not None
    assert newest.name == "step-00000004.pt"
    assert train(tmp_path / "run", 6) == 6
    train(tmp_path / "healthy", 6)
    assert same(final_state(tmp_path / "run"), final_state(tmp_path / "healthy"))


def test_nan_in_a_single_metric_is_heard_when_the_log_is_written() -> None:
    def spoil(t: int, metrics: Metrics, translator: Translator) -> None:
        metrics["keep"] = metrics["keep"] * (float("nan") if t == 2 else 1)

    def read(t: int, metrics: Metrics, translator: Translator) -> None:
        meter.read(t)

    method, meter = ToyMethod(ToyConfig()), Meter()
    descend, average = Descent(method.optimizers()), Average(method.translator)
    hooks: list[Hook] = [spoil, meter, every(3, read)]
    with pytest.raises(Diverged, match="keep is not finite at step 3"):
        fit(method, batches(0), descend, average, range(9), hooks, seed=0, device=CPU)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(
    tmp_path: Path, number: signal.Signals
) -> None:
    done = train(tmp_path / "run", 50, hooks=[lambda t, *_: signal.raise_signal(number) if t == 3 else None])
    assert done == 3
    train(tmp_path / "run", 6)
    train(tmp_path / "straight", 6)
    assert same(final_state(tmp_path / "run"), final_state(tmp_path / "straight"))
    assert logged(tmp_path / "run") == logged(tmp_path / "straight")


def interrupt_twice(stop: StopSignals) -> None:
    signal.raise_signal(signal.SIGINT)
    assert stop()
    signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_stops_at_once_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopSignals() as stop:
        interrupt_twice(stop)
    assert signal.getsignal(signal.SIGINT) is before


def test_training_outside_the_main_thread_leaves_signals_alone() -> None:
    answers = []

    def work() -> None:
        with StopSignals() as stop:
            answers.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
