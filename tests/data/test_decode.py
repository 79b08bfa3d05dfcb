"""What any file becomes: the picture that a viewer shows, or one reason why not."""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from cluit.core.errors import UserError
from cluit.data import decode as module
from cluit.data.decode import BadPictureError, check_header, fit_square, open_picture, read_header

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
Colour = tuple[int, int, int]


def flat(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (8, 8), value)


def palette(**info: object) -> Image.Image:
    image = flat("P", 1)
    image.putpalette([*BLUE, *RED])
    image.info.update(info)
    return image


def png16(pixels: np.ndarray, colour_type: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel (PNG specification, section 11); PIL cannot write coloured ones."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    key = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wide(*channels: int) -> np.ndarray:
    return np.full((8, 8, len(channels)), channels, np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


BLINK: dict[str, object] = {"save_all": True, "append_images": [flat("RGB", BLUE)]}
AS_SEEN: dict[str, tuple[str, Callable[[], bytes], Colour]] = {
    "jpeg": ("jpg", lambda: encoded(flat("RGB", (250, 0, 0)), "JPEG"), (250, 0, 0)),
    "grey jpeg": ("jpg", lambda: encoded(flat("L", 77), "JPEG"), (77, 77, 77)),
    "CMYK jpeg, stored inverted as Adobe does": (
        "jpg",
        lambda: encoded(flat("CMYK", (0, 255, 255, 0)), "JPEG"),
        RED,
    ),
    "png": ("png", lambda: encoded(flat("RGB", (1, 2, 3)), "PNG"), (1, 2, 3)),
    "grey": ("png", lambda: encoded(flat("L", 100), "PNG"), (100, 100, 100)),
    "one bit": ("png", lambda: encoded(flat("1", 1), "PNG"), WHITE),
    "grey and alpha": ("png", lambda: encoded(flat("LA", (0, 0)), "PNG"), WHITE),
    "alpha": ("png", lambda: encoded(flat("RGBA", (*RED, 128)), "PNG"), (255, 127, 127)),
    "palette": ("png", lambda: encoded(palette(), "PNG"), RED),
    "palette, one transparent": ("png", lambda: encoded(palette(), "PNG", transparency=1), WHITE),
    "palette, half transparent": (
        "png",
        lambda: encoded(palette(), "PNG", transparency=b"\xff\x80"),
        (255, 127, 127),
    ),
    "a transparent colour": ("png", lambda: encoded(flat("RGB", RED), "PNG", transparency=RED), WHITE),
    "16-bit grey": ("png", lambda: png16(wide(128 * 257), 0), (128, 128, 128)),
    "16-bit grey, dark": ("png", lambda: png16(wide(300), 0), (1, 1, 1)),
    "16-bit grey, transparent": ("png", lambda: png16(wide(32000), 0, struct.pack(">H", 32000)), WHITE),
    "16-bit colour": ("png", lambda: png16(wide(65535, 0, 40 * 257), 2), (255, 0, 40)),
    "16-bit colour, transparent": (
        "png",
        lambda: png16(wide(9999, 1, 2), 2, struct.pack(">3H", 9999, 1, 2)),
        WHITE,
    ),
    "16-bit colour, not transparent": (
        "png",
        lambda: png16(wide(0, 0, 0), 2, struct.pack(">3H", 32000, 0, 0)),
        (0, 0, 0),
    ),
    "16-bit grey and alpha": ("png", lambda: png16(wide(0, 0), 4), WHITE),
    "16-bit colour and alpha": ("png", lambda: png16(wide(65535, 0, 0, 65535), 6), RED),
    "animated png": ("png", lambda: encoded(flat("RGB", RED), "PNG", **BLINK), RED),
    "webp": ("webp", lambda: encoded(flat("RGB", (9, 8, 7)), "WEBP", lossless=True), (9, 8, 7)),
    "webp, alpha": ("webp", lambda: encoded(flat("RGBA", (*RED, 0)), "WEBP", lossless=True), WHITE),
    "animated webp": ("webp", lambda: encoded(flat("RGB", RED), "WEBP", lossless=True, **BLINK), RED),
    "bmp": ("bmp", lambda: encoded(flat("RGB", (4, 5, 6)), "BMP"), (4, 5, 6)),
    "one bit bmp": ("BMP", lambda: encoded(flat("1", 0), "BMP"), (0, 0, 0)),
    "palette bmp": ("bmp", lambda: encoded(palette(), "BMP"), RED),
    "a png named jpg": ("jpg", lambda: encoded(flat("RGB", GREEN), "PNG"), GREEN),
}


@pytest.mark.parametrize(("suffix", "write", "colour"), AS_SEEN.values(), ids=AS_SEEN)
def test_every_kind_of_file_comes_out_as_the_eye_sees_it(
    suffix: str, write: Callable[[], bytes], colour: Colour, tmp_path: Path
) -> None:
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(write())
    pixels = fit_square(open_picture(path, side=4), 4).int()
    assert pixels.shape == (3, 4, 4)
    lossy = suffix == "jpg" and write()[:2] == b"\xff\xd8"
    assert (pixels - torch.tensor(colour)[:, None, None]).abs().max() <= (3 if lossy else 0)


CORNERS = np.array([[RED, GREEN, WHITE], [BLUE, (0, 0, 0), (255, 255, 0)]], np.uint8)
UPRIGHT = CORNERS.repeat(8, axis=0).repeat(8, axis=1)
TURNED = UPRIGHT.transpose(1, 0, 2)
AS_STORED = [  # Exif 2.32, tag 0x0112: which sides of the picture the stored 0th row and 0th column are
    UPRIGHT,  # 1: top, left
    UPRIGHT[:, ::-1],  # 2: top, right
    UPRIGHT[::-1, ::-1],  # 3: bottom, right
    UPRIGHT[::-1],  # 4: bottom, left
    TURNED,  # 5: left, top
    TURNED[::-1],  # 6: right, top
    TURNED[::-1, ::-1],  # 7: right, bottom
    TURNED[:, ::-1],  # 8: left, bottom
]


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0}
    stored = Image.fromarray(np.ascontiguousarray(AS_STORED[orientation - 1]))
    stored.save(tmp_path / f"turned.{suffix}", exif=exif, **options)
    seen = np.asarray(open_picture(tmp_path / f"turned.{suffix}"), int)
    assert seen.shape == UPRIGHT.shape
    assert np.abs(seen - UPRIGHT).max() <= (6 if suffix == "jpg" else 0)


def test_broken_exif_leaves_the_picture_as_it_lies(tmp_path: Path) -> None:
    flat("RGB", RED).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0nonsense")
    assert open_picture(tmp_path / "a.png").getpixel((0, 0)) == RED


def green_for_red() -> bytes:
    """An ICC profile whose red and green primaries have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_embedded_colour_profile_is_obeyed(mode: str, tmp_path: Path) -> None:
    flat("RGB", RED).convert(mode).save(tmp_path / "a.png", icc_profile=green_for_red())
    red, green, blue = np.asarray(open_picture(tmp_path / "a.png"), int)[0, 0]
    assert green > 250
    assert red < 5
    assert blue < 5


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_or_foreign_colour_profile_is_ignored(mode: str, tmp_path: Path) -> None:
    image = flat("RGB", (90, 90, 90)).convert(mode)
    for profile in (b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()):
        image.save(tmp_path / "a.jpg", icc_profile=profile)
        assert np.abs(np.asarray(open_picture(tmp_path / "a.jpg"), int) - 90).max() <= 2


@pytest.mark.parametrize("turn", [False, True])
def test_crop_keeps_the_central_square_and_resize_all(turn: bool) -> None:
    stripes = np.repeat(np.array([[RED, GREEN, BLUE]], np.uint8), 30, axis=1)
    picture = Image.fromarray(stripes).resize((90, 30), Image.Resampling.NEAREST)
    if turn:
        picture = picture.transpose(Image.Transpose.TRANSPOSE)
    middle = fit_square(picture, 15, "crop")[:, 3:-3, 3:-3]  # the filter sees the border's neighbours
    assert (middle.int() - torch.tensor(GREEN)[:, None, None]).abs().max() <= 1
    whole = fit_square(picture, 15, "resize").transpose(1, 2) if turn else fit_square(picture, 15, "resize")
    for column, colour in ((1, RED), (7, GREEN), (13, BLUE)):
        assert (whole[:, :, column].int() - torch.tensor(colour)[:, None]).abs().max() <= 3


def test_shrinking_averages_what_is_too_fine_to_show() -> None:
    checkers = Image.fromarray((np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    assert (fit_square(checkers, 8).int() - 127).abs().max() <= 3


def test_a_picture_of_the_right_size_keeps_every_byte() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert (fit_square(Image.fromarray(noise), 32).permute(1, 2, 0).numpy() == noise).all()


def test_a_jpeg_decoded_at_a_fraction_of_its_scale_looks_the_same(tmp_path: Path) -> None:
    y, x = np.mgrid[0:900, 0:1200]
    waves = 128 + 100 * np.sin(x / 97) * np.cos(y / 61)
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "large.jpg", quality=95)
    assert open_picture(tmp_path / "large.jpg", side=64).size == (300, 225)
    whole = fit_square(open_picture(tmp_path / "large.jpg"), 64)
    assert (
        fit_square(open_picture(tmp_path / "large.jpg", side=64), 64).int() - whole.int()
    ).abs().max() <= 3


def huge_png(side: int) -> bytes:
    """1 KB that claims side × side pixels."""
    small = png16(wide(0), 0)
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [8_300, 10_000, 100_000])  # beyond our limit, PIL's warning, PIL's error
def test_a_decompression_bomb_is_known_by_its_header(side: int, action: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(huge_png(side))
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        for read in (check_header, open_picture):
            with pytest.raises(BadPictureError, match="enormous"):
                read(tmp_path / "bomb.png")


def test_a_file_too_large_for_any_picture_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat("RGB", RED).save(tmp_path / "a.bmp")
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(BadPictureError, match="enormous: 246 bytes"):
        check_header(tmp_path / "a.bmp")


def noise(kind: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return encoded(Image.fromarray(pixels), kind, **options)


def with_thumbnail() -> bytes:
    """A JPEG with a whole JPEG, its end marker included, in an early segment."""
    whole, inner = noise("JPEG"), encoded(flat("RGB", RED), "JPEG")
    return whole[:2] + b"\xff\xff\xe5" + struct.pack(">H", len(inner) + 2) + inner + whole[2:]


FILES = {
    "png": noise("PNG"),
    "jpeg": noise("JPEG"),
    "progressive jpeg": noise("JPEG", progressive=True),
    "jpeg with a thumbnail": with_thumbnail(),
    "webp": noise("WEBP"),
    "bmp": noise("BMP"),
}


@pytest.mark.parametrize("tolerant", [False, True], ids=["strict PIL", "tolerant PIL"])
@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_never_half_a_picture(
    kind: str, tolerant: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)  # as some libraries leave it
    data, path = FILES[kind], tmp_path / "picture.png"
    path.write_bytes(data)
    open_picture(path)
    for share in (0.02, 0.5, 0.9, 0.999):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(BadPictureError):
            open_picture(path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "progressive jpeg", "jpeg with a thumbnail"])
def test_a_file_whose_second_half_is_zeros_is_refused(kind: str, tmp_path: Path) -> None:
    data, path = FILES[kind], tmp_path / "download.jpg"
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with pytest.raises(BadPictureError):
        open_picture(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>404</html>", "not a PNG, JPEG, WebP or BMP picture"),
        (encoded(palette(), "GIF"), "not a PNG, JPEG, WebP or BMP picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(BadPictureError) as caught:
        check_header(path)
    assert caught.value.reason == reason
    assert str(caught.value) == f"{path} cannot be used: {reason}"
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "jpeg with a thumbnail"])
def test_a_jpeg_cut_anywhere_in_its_header_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """Usual JPEGs are not shown to PIL, whose verdict on their headers is the same."""
    data, path = FILES[kind], tmp_path / "cut.jpg"
    for cut in range(1500):  # all headers are shorter
        path.write_bytes(data[:cut])
        try:
            read_header(io.BytesIO(data[:cut]), path)
        except BadPictureError as refused:
            with pytest.raises(BadPictureError, match=re.escape(str(refused))):
                check_header(path)
        else:
            check_header(path)


@pytest.mark.parametrize(("width", "height"), [(0, 64), (64, 0), (65535, 65535)])
def test_a_jpeg_of_no_pixels_or_too_many_is_refused_by_its_header(
    width: int, height: int, tmp_path: Path
) -> None:
    data, path = bytearray(FILES["jpeg"]), tmp_path / "odd.jpg"
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    path.write_bytes(data)
    with pytest.raises(BadPictureError):
        open_picture(path)
    if width and height:
        with pytest.raises(BadPictureError, match="enormous"):
            check_header(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadPictureError, match="cannot be read: No such file"):
        open_picture(tmp_path / "absent.png")
    with pytest.raises(BadPictureError, match="not a file"):
        open_picture(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadPictureError, match="not a file"):
        open_picture(tmp_path / "pipe.png")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage") / "damaged.jpg"


@given(kind=st.sampled_from(sorted(FILES)), at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40))
def test_no_damage_raises_anything_but_bad_picture(kind: str, at: float, junk: bytes, damaged: Path) -> None:
    data = bytearray(FILES[kind])
    start = int(at * len(data))
    data[start : start + len(junk)] = junk
    damaged.write_bytes(data)
    with suppress(BadPictureError):
        assert fit_square(open_picture(damaged, side=8), 8).shape == (3, 8, 8)
