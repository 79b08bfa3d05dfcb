"""The methods by name. Only their settings are imported here, so that a help page needs no torch."""

from cluit.methods.cluit.config import CluitConfig

CONFIGS = {"cluit": CluitConfig}
