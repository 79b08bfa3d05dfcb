"""Moving pictures: animated WebP and GIF by Pillow, MP4 by ffmpeg where there is one."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from PIL import Image

from cluit.core.errors import UserError
from cluit.core.files import atomic_file, disk_errors

RATE = 20  # frames a second: GIF counts time in hundredths, and players honour few shorter frames than this
LEAST = 256  # pixels a side: what is smaller is enlarged a whole number of times
KINDS = (".webp", ".gif", ".mp4")


def check_animation(path: Path) -> None:
    """UserError, before any work, where ``path`` cannot become an animation here or is there already."""
    if path.suffix.lower() not in KINDS:
        raise UserError(f"an animation is one of {', '.join(KINDS)}; name {path.with_suffix('.webp')}")
    if path.exists():
        raise UserError(f"{path} is already there; choose another --animation")
    if path.suffix.lower() == ".mp4":
        ffmpeg()


def write_animation(path: Path, frames: Sequence[Image.Image]) -> None:
    """RGB frames of one square size, shown for ever; the file is whole or not there."""
    side = enlarged_side(frames[0].width)
    frames = [frame.resize((side, side), Image.Resampling.NEAREST) for frame in frames]
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower()
    with atomic_file(path) as file:
        if kind == ".mp4":
            file.write(mp4(frames))
        else:
            settings = {"lossless": True} if kind == ".webp" else {"disposal": 1}
            frames[0].save(
                file,
                kind[1:],
                save_all=True,
                append_images=frames[1:],
                duration=1000 // RATE,
                loop=0,
                **settings,
            )


def enlarged_side(side: int) -> int:
    """At least LEAST, or as it is; a whole multiple, and even, as video wants it."""
    zoom = max(1, -(-LEAST // side))
    return side * zoom if side * zoom % 2 == 0 else side * zoom * 2


def ffmpeg() -> str:
    """The program that writes MP4: imageio-ffmpeg's, or the system's. UserError where there is neither."""
    try:
        return import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # RuntimeError: the package without a program for this machine
        if program := shutil.which("ffmpeg"):
            return program
    raise UserError(
        "MP4 needs ffmpeg; pip install 'cluit[video]' brings one, or name a .webp or .gif instead"
    )


def mp4(frames: Sequence[Image.Image]) -> bytes:
    """H.264 as every browser plays it."""
    size = f"{frames[0].width}x{frames[0].height}"
    raw = b"".join(frame.tobytes() for frame in frames)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "animation.mp4"  # a pipe cannot take MP4's index, which comes last
        command = [ffmpeg(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size]
        command += ["-r", str(RATE), "-i", "-", "-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p"]
        done = subprocess.run(
            [*command, "-movflags", "+faststart", str(target)], input=raw, capture_output=True
        )
        if done.returncode or not target.is_file():
            reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise UserError(f"ffmpeg could not write MP4 ({reason}); name a .webp or .gif instead")
        return target.read_bytes()
