"""Contrastive learning for unsupervised image-to-image translation: learn from a folder, repaint any picture.

    import cluit
    model = cluit.load("portraits")
    model.translate("source.png", "reference.png").save("out.png")

Importing this package imports no torch: its names are fetched when first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluit.apps.api import from_pretrained, load, train
    from cluit.apps.painter import Painter
    from cluit.core.errors import UserError

    __version__: str

__all__ = ["Painter", "UserError", "__version__", "from_pretrained", "load", "train"]

_HOMES = {
    "Painter": "cluit.apps.painter",
    "UserError": "cluit.core.errors",
    "from_pretrained": "cluit.apps.api",
    "load": "cluit.apps.api",
    "train": "cluit.apps.api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("cluit.core.release").release()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cluit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
