"""A saved model is the model, and nothing else passes for one."""

import io
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from malformed import Harm, Trap, change_card, change_weights, truncate, without, write
from safetensors.torch import load_file
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.types import Translator
from cluit.export.weights import load, save


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    width: int = 4
    sides: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"width must be positive, got {self.width}")

    def build_translator(self) -> Translator:
        return ToyTranslator(self)


class ToyTranslator(Translator):
    image_size = 8

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, config.width, config.sides)
        self.norm = nn.BatchNorm2d(config.width)
        self.style = nn.Linear(3, config.width)
        self.decoder = nn.Conv2d(config.width, 3, config.sides)
        self.register_buffer("gain", torch.tensor([2.0]), persistent=False)

    def encode_structure(self, source: Tensor) -> Tensor:
        return self.norm(self.encoder(source))

    def encode_style(self, reference: Tensor, domain: Tensor | None = None) -> Tensor:
        return self.style(reference.mean((2, 3)))

    def decode(self, structure: Tensor, style: Tensor) -> Tensor:
        return self.decoder(structure * style[:, :, None, None]) * self.gain


CONFIGS: dict[str, type] = {"toy": ToyConfig}
CARD = {"method": "toy", "config": {"width": 6, "sides": [1, 1]}, "step": 12}
COUNT = "norm.num_batches_tracked"
IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


@pytest.fixture
def model() -> Translator:
    translator = ToyTranslator(ToyConfig(width=6))
    translator.encode_structure(IMAGES)  # moves the running mean
    return translator.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


@pytest.fixture
def folder(tmp_path: Path, model: Translator) -> Path:
    save(tmp_path / "model", model, CARD)
    return tmp_path / "model"


def picture(translator: Translator) -> Tensor:
    with torch.no_grad():
        return translator.translate(IMAGES, translator.encode_style(IMAGES.flip(0)))


def test_a_loaded_model_draws_the_same_picture(folder: Path, model: Translator) -> None:
    loaded, card = load(folder, CONFIGS)
    torch.testing.assert_close(picture(loaded), picture(model))
    assert all(torch.equal(x, loaded.state_dict()[name]) for name, x in model.state_dict().items())
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert card["step"] == 12
    assert card["config"] == CARD["config"]


def test_the_folder_holds_two_files_and_the_card_says_what_wrote_it(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    card = json.loads((folder / "model.json").read_text())
    assert card["format_version"] == 1
    assert card["dtype"] == "float32"
    assert card["cluit_version"]


def test_half_precision_halves_the_file_and_is_float32_in_use(tmp_path: Path, model: Translator) -> None:
    save(tmp_path, model, CARD, half=True)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["encoder.weight"].dtype == torch.float16
    assert stored["norm.num_batches_tracked"].dtype == torch.int64
    loaded, _ = load(tmp_path, CONFIGS)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(picture(loaded), picture(model), atol=5e-3, rtol=5e-3)


def test_loading_draws_no_random_number(folder: Path) -> None:
    before = torch.get_rng_state()
    load(folder, CONFIGS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_model_is_replaced_whole(folder: Path, model: Translator) -> None:
    with torch.no_grad():
        model.get_parameter("encoder.weight").add_(1)
    save(folder, model, CARD | {"step": 13})
    loaded, card = load(folder, CONFIGS)
    assert card["step"] == 13
    assert torch.equal(loaded.get_parameter("encoder.weight"), model.get_parameter("encoder.weight"))


def test_weights_that_are_not_finite_are_not_saved(folder: Path, model: Translator) -> None:
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        model.get_parameter("style.bias").fill_(1e6)  # too large for float16 alone
    with pytest.raises(UserError, match=r"not finite.*style\.bias"):
        save(folder, model, CARD, half=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, model: Translator) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write"):
            save(place, model, CARD)


def test_a_disk_that_refuses_leaves_the_old_model(
    folder: Path, model: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="No space left"):
        save(folder, model, CARD | {"step": 13})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (without(".json"), "is not a model"),
        (without(".safetensors"), "is not a model"),
        (write(".json", b"{"), "not readable as JSON"),
        (write(".json", b"\xff\xfe\x00"), "not readable as JSON"),
        (write(".json", b"[" * 100_000), "not readable as JSON"),
        (write(".json", b"[1]"), "no format_version"),
        (change_card(format_version="1"), "no format_version"),
        (change_card(format_version=True), "no format_version"),
        (change_card(format_version=0), "no format_version"),
        (change_card(format_version=2), "newer than this cluit knows"),
        (change_card(method="tunit"), "unknown method 'tunit'; known are: toy"),
        (change_card(method=["toy"]), "unknown method"),
        (change_card(config=None), "has no config"),
        (change_card(config={"width": 6, "depth": 3}), "unknown keys: depth"),
        (change_card(config={"width": -1}), "width must be positive"),
        (change_card(config={"width": "6"}), "width is '6', not a number"),
        (change_card(config={"width": None}), "width is None, not a number"),
        (change_card(config={"sides": 1}), "sides is 1, not a list"),
        (change_card(config={"width": 6.5}), "describes no network"),
        (change_card(config={"width": 10**13}), "describes no network|does not fit"),
        (change_card(config={"width": 10**30}), "describes no network"),
        (change_card(config={"width": 4}), r"encoder\.weight is \(6, 3, 1, 1\) instead of \(4, 3, 1, 1\)"),
        (change_weights(lambda w: w.pop("style.bias")), r"style\.bias is missing"),
        (change_weights(lambda w: w.update(more=torch.zeros(1))), "more is not of this network"),
        (change_weights(lambda w: w["style.bias"].fill_(float("nan"))), r"style\.bias in .* is not finite"),
        (change_weights(lambda w: w.update({"style.bias": w["style.bias"].long()})), "is of type int64"),
        (change_weights(lambda w: w.update({"style.bias": w["style.bias"].bool()})), "is of type bool"),
        (
            change_weights(lambda w: w.update({"style.bias": w["style.bias"].to(torch.complex64)})),
            "is of type complex64",
        ),
        (
            change_weights(lambda w: w.update({COUNT: w[COUNT].to(torch.complex64)})),
            "num_batches_tracked in .* is of type complex64",
        ),
        (change_weights(lambda w: w.update({COUNT: w[COUNT].float()})), "is of type float32"),
        (truncate, "not a whole safetensors file"),
        (write(".safetensors", b""), "not a whole safetensors file"),
        (write(".safetensors", b"\xff" * 100), "not a whole safetensors file"),
    ],
)
def test_what_is_not_a_model_is_one_sentence(folder: Path, harm: Harm, sentence: str) -> None:
    harm(folder)
    with pytest.raises(UserError, match=sentence) as raised:
        load(folder, CONFIGS)
    assert "\n" not in str(raised.value)


def test_a_file_that_must_not_be_read_is_not_called_broken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def forbid(path: Path, *args: Any, **options: Any) -> Any:
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(UserError, match=r"cannot read .*: Permission denied"):
        load(folder, CONFIGS)


def test_a_path_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a model"):
        load(tmp_path / "absent", CONFIGS)


def old_torch(trap: Trap) -> bytes:
    """As torch.save wrote it before its files were zip archives."""
    file = io.BytesIO()
    torch.save(trap, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def new_torch(trap: Trap) -> bytes:
    file = io.BytesIO()
    torch.save(trap, file)
    return file.getvalue()


@pytest.mark.parametrize("dump", [pickle.dumps, old_torch, new_torch])
def test_a_pickle_with_a_friendly_name_is_refused_and_not_executed(
    folder: Path, dump: Callable[[Trap], bytes]
) -> None:
    data = dump(Trap(folder / "executed"))
    for name, sentence in (
        ("model.safetensors", "is a pickle by another name, which cluit never opens"),
        ("model.json", "not readable as JSON"),
    ):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        with pytest.raises(UserError, match=sentence) as raised:
            load(folder, CONFIGS)
        assert "\n" not in str(raised.value)
        (folder / name).write_bytes(whole)
    assert not (folder / "executed").exists()
    pickle.loads(data) if dump is pickle.dumps else torch.load(io.BytesIO(data), weights_only=False)
    assert (folder / "executed").exists(), "the trap does not work"


def test_a_folder_of_pickles_alone_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    with pytest.raises(UserError, match=r"is not a model.*pytorch_model\.bin: cluit never opens pickles"):
        load(tmp_path, CONFIGS)
    assert not (tmp_path / "executed").exists()


def test_a_config_may_gain_settings_and_old_models_still_load(folder: Path) -> None:
    change_card(config={"width": 6})(folder)
    load(folder, CONFIGS)
