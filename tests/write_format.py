"""Keep an example of the format that models are saved in: a tiny one of every method, and what it draws.

    PYTHONPATH=src python tests/write_format.py

Run once for each version of the format, when it is released; what is there already stays as it was.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from cluit.core.images import to_unit
from cluit.core.types import ClusterAssigner, StyleSampler, Translator
from cluit.export import weights
from cluit.methods import CONFIGS

SMALL: dict[str, dict[str, Any]] = {
    "cluit": {"style_dim": 8},
    "tunit": {"style_dim": 8, "clusters": 3},
    "swapae": {"structure_channels": 4},
    "starganv2": {"style_dim": 8, "latent_dim": 4, "domains": ("cat", "dog")},
}
"""What is not the default, beside size and width: a file of weights stays below 100 KB."""


def main() -> None:
    folder = Path(__file__).parent / "fixtures" / f"format-{weights.MODEL.version}"
    for method, config in CONFIGS.items():
        if not (folder / method).exists():
            write(folder / method, method, config(image_size=32, width=2, **SMALL[method]))


def write(folder: Path, method: str, config: Any) -> None:
    torch.manual_seed(0)
    translator = config.build_translator()
    with torch.no_grad():
        for name, tensor in translator.state_dict().items():
            if tensor.is_floating_point():  # first weights are often 0 or 1, which would hide a mistake
                tensor += 0.1 * torch.randn_like(tensor)
            if name.endswith("running_var"):
                tensor.abs_()
    weights.save(folder, translator, {"method": method, "config": dataclasses.asdict(config)}, half=True)
    source, reference = torch.randint(0, 256, (2, 1, 3, 32, 32), dtype=torch.uint8)
    loaded, _ = weights.load(folder, CONFIGS)
    kept = {"source": source, "reference": reference, **answers(loaded, source, reference)}
    (folder / "expected.safetensors").write_bytes(to_bytes(kept))


@torch.no_grad()
def answers(translator: Translator, source: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """All that a model can do with a source and a reference, uint8 (1, 3, S, S), of its first domain."""
    domain = torch.zeros(1, dtype=torch.long)
    style = translator.encode_style(to_unit(reference), domain)
    found = {"drawn": translator.translate(to_unit(source), style).contiguous()}
    if isinstance(translator, StyleSampler):
        found["made_up"] = translator.sample_style(torch.linspace(-1, 1, translator.latent_dim)[None], domain)
    if isinstance(translator, ClusterAssigner):
        found["clusters"] = translator.assign(to_unit(source))
    return found


if __name__ == "__main__":
    main()
