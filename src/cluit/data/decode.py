"""A file as the eye sees it: any PNG, JPEG, WebP or BMP -> upright sRGB bytes, or one sentence why not."""

import errno
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from cluit.core.errors import UserError

Fit = Literal["crop", "resize"]
"""How a picture becomes square: its central square is kept, or all of it is squeezed."""

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
MAX_PIXELS = 2**26
"""67 million. A larger picture is taken for a decompression bomb, by its header: nothing of it is decoded."""
MAX_BYTES = 2**30
"""A larger file is never read: the largest allowed picture, uncompressed in 16 bits, takes half of this."""

EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (Exif 2.32, section 4.6.4, tag 0x0112); 1 is upright already."""


class BadPictureError(UserError):
    """A file that cannot be used as a picture; ``reason`` is a phrase without the file's name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason = reason


def check_header(path: Path) -> None:
    """BadPictureError where the header alone shows that the file is unusable. Decodes nothing."""
    with reading(path) as file:
        if not _is_usual_jpeg(file):
            read_header(file, path)


def open_picture(path: str | Path, side: int | None = None) -> Image.Image:
    """The file's picture: upright, RGB, sRGB, transparency on white. BadPictureError says why not.

    side: the shorter side that is wanted in the end. A much larger JPEG is then decoded at 1/2, 1/4 or 1/8
    of its scale, never below twice that side: several times faster, and hardly seen after a resize.
    """
    return picture_of(read_file(Path(path)), Path(path), side)


def picture_of(data: bytes, path: Path, side: int | None = None) -> Image.Image:
    """As ``open_picture``, of a file's bytes; ``path`` is what the file is called in errors."""
    image = read_header(io.BytesIO(data), path)
    if not _is_whole(data, image.format):
        raise BadPictureError(path, "truncated: the file stops before its picture does")
    try:
        if side is not None:
            image.draft(None, (2 * side, 2 * side))
        image.load()
        return as_seen(image)
    except MemoryError:  # says something of the machine, nothing of the file
        raise
    except Exception as error:  # a damaged file makes PIL's decoders raise almost anything
        raise BadPictureError(path, f"damaged: {error}") from error


def as_seen(image: Image.Image) -> Image.Image:
    """Any PIL image -> RGB: EXIF orientation undone, transparency on white, colours in sRGB, 16 bits as 8."""
    orientation = _orientation(image)
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile and (transform := _to_srgb(profile, image.mode)):
        image = ImageCms.applyTransform(image, transform) or image
    if image.mode == "RGBA":
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(image, mask=image)
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def fit_square(image: Image.Image, size: int, fit: Fit = "crop") -> Tensor:
    """An RGB image -> uint8 (3, size, size), antialiased: its central square, or all of it squeezed."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side) if fit == "crop" else (0, 0, width, height)
    square = image.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return torch.from_numpy(np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1)))


def read_file(path: Path) -> bytes:
    """All bytes of the file. BadPictureError where it cannot be read."""
    with reading(path) as file:
        return file.read()


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """The open file. BadPictureError where it cannot be read, unless that is the machine's trouble."""
    if "\0" in str(path):
        raise BadPictureError(path, "no file's name holds a NUL")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for somebody who writes into it
            raise BadPictureError(path, "not a file")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        raise BadPictureError(path, f"cannot be read: {error.strerror or error}") from error


def read_header(file: BinaryIO, path: Path) -> ImageFile:
    """The picture of ``file``, called ``path``, not yet decoded. BadPictureError where its header shows that
    it is unusable."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size == 0:
        raise BadPictureError(path, "empty file")
    if size > MAX_BYTES:
        raise BadPictureError(path, f"enormous: {size:,} bytes, more than {MAX_BYTES:,}")
    try:
        image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # PIL's own limit
        raise BadPictureError(path, f"enormous: more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise BadPictureError(path, "not a PNG, JPEG, WebP or BMP picture") from error
    except Exception as error:  # PIL's header parsers raise almost anything too
        raise BadPictureError(path, f"damaged: {error}") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadPictureError(path, f"enormous: {width:,} × {height:,} pixels, more than {MAX_PIXELS:,}")
    return image


def _is_usual_jpeg(file: BinaryIO) -> bool:
    """Whether a file has the header of a usable JPEG, read segment by segment up to the first scan.

    PIL, which takes three times as long, is to judge all others, those that merely look unusual among them.
    """
    if not 0 < file.seek(0, io.SEEK_END) <= MAX_BYTES:
        return False
    file.seek(0)
    pixels, start = 0, file.read(2)
    if start != b"\xff\xd8":
        return False
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xFF:
        kind, length = head[1], max(0, int.from_bytes(head[2:], "big") - 2)
        if kind == 0xDA:  # start of scan
            return 0 < pixels <= MAX_PIXELS and len(file.read(length)) == length
        if kind in (0xC0, 0xC1, 0xC2):  # start of frame: baseline, extended, progressive
            frame = file.read(length)
            if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3, 4):
                return False
            pixels = int.from_bytes(frame[1:3], "big") * int.from_bytes(frame[3:5], "big")
        elif kind in (0xC4, 0xDB, 0xDD, 0xFE) or 0xE0 <= kind <= 0xEF:  # tables, comments, applications' own
            file.seek(length, io.SEEK_CUR)
        else:
            return False
    return False


def _is_whole(data: bytes, kind: str | None) -> bool:
    """Whether a file reaches its own end.

    PIL notices most truncated files, unless some library set its global LOAD_TRUNCATED_IMAGES, and no JPEG
    whose missing part is zeros, as broken downloads leave it. Damage further inside a JPEG, WebP or BMP
    cannot be noticed: these formats carry no checksum.
    """
    if kind == "PNG":
        return b"IEND" in data
    if kind == "WEBP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if kind == "BMP":
        return len(data) >= int.from_bytes(data[2:6], "little")
    at = 2
    while data[at : at + 1] == b"\xff" and (marker := data[at + 1 : at + 2]) != b"\xda":
        # Step over a segment (a thumbnail, with an end of its own, lies within one) up to the first scan.
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0  # end of image; in a scan's data every ff is followed by 00


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # unreadable EXIF: the picture is shown as it lies, as viewers do
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey -> L, scaled; a 16-bit transparent colour (PNG's tRNS) brought to 8 bits too."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        wide = np.asarray(image.convert("I"))
        image = Image.fromarray(((wide.clip(0, 65535) * 255 + 32767) // 65535).astype(np.uint8))
        if isinstance(key, int):
            image.info["transparency"] = (key * 255 + 32767) // 65535
    elif isinstance(key, tuple) and max(key) > 255:  # PIL keeps the high byte of 16-bit RGB
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from an embedded ICC profile to sRGB; None where it is sRGB, broken, or not for this mode."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(embedded).startswith("sRGB"):
            return None
        to_mode = "RGBA" if mode == "RGBA" else "RGB"
        return ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, to_mode)
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):  # ImportError: PIL without it
        return None
