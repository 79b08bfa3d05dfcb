"""The methods by name. Only their settings are imported here, so that a help page needs no torch."""

from collections.abc import Mapping

from cluit.core.config import MethodConfig
from cluit.methods.cluit.config import CluitConfig

CONFIGS: Mapping[str, type[MethodConfig]] = {"cluit": CluitConfig}
