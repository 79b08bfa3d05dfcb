"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The version that is installed; ``unknown`` in a source tree that is not."""
    try:
        return version("cluit")
    except PackageNotFoundError:
        return "unknown"
