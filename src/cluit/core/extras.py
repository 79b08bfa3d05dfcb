"""Libraries that only some commands need: imported when they are wanted, missed in one sentence."""

import importlib
import importlib.util
from typing import Any

from cluit.core.errors import UserError


def there(*modules: str) -> bool:
    """Whether all of these are installed."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def needs(module: str, purpose: str, extra: str) -> Any:
    """The module, where it is installed. UserError that names the extra of cluit which brings it otherwise.

    purpose: what needs it, as the beginning of a sentence, e.g. ``a t-SNE map``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.split(".")[0]
        raise UserError(
            f"{purpose} needs {library}, which cannot be imported ({error}); "
            f"install it with: pip install 'cluit[{extra}]'"
        ) from error
