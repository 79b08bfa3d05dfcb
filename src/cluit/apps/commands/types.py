"""What the flags of several commands have in common."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Model = Annotated[str, Positional, arg(metavar="MODEL")]
Out = Annotated[Path, arg(metavar="OUT")]
From = Annotated[str, arg(metavar="DATA")]
