"""The methods by name. Only their settings are imported here, so that a help page needs no torch."""

from collections.abc import Callable, Mapping
from typing import Any

from cluit.core.config import MethodConfig
from cluit.methods.cluit.config import CluitConfig
from cluit.methods.cluit.recipes import RECIPES as CLUIT_RECIPES
from cluit.methods.starganv2.config import StarGANv2Config
from cluit.methods.starganv2.recipes import RECIPES as STARGANV2_RECIPES
from cluit.methods.swapae.config import SwapAEConfig
from cluit.methods.swapae.recipes import RECIPES as SWAPAE_RECIPES
from cluit.methods.tunit.config import TunitConfig
from cluit.methods.tunit.recipes import RECIPES as TUNIT_RECIPES

Recipe = Callable[[], dict[str, Any]]
"""Settings that belong together, the training's and the method's in one flat set of names."""

CONFIGS: Mapping[str, type[MethodConfig]] = {
    "cluit": CluitConfig,
    "tunit": TunitConfig,
    "swapae": SwapAEConfig,
    "starganv2": StarGANv2Config,
}
RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "cluit": CLUIT_RECIPES,
    "tunit": TUNIT_RECIPES,
    "swapae": SWAPAE_RECIPES,
    "starganv2": STARGANV2_RECIPES,
}
"""By the method's name and their own. Every method has ``paper``, the published setting, and ``small``, one
for drawn portraits at 32 px on a CPU."""
