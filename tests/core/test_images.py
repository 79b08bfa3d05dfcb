import torch

from cluit.core.images import as_picture, grid, to_bytes, to_unit


def test_every_byte_survives_the_way_to_the_network_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).expand(3, 4, 256)
    assert torch.equal(to_bytes(to_unit(pixels)), pixels)
    assert to_unit(pixels).min() == -1
    assert to_unit(pixels).max() == 1


def test_what_lies_outside_the_range_is_clamped_and_never_wraps() -> None:
    assert to_bytes(torch.tensor([-9.0, -1.001, 1.001, 9.0])).tolist() == [0, 0, 255, 255]


def test_a_picture_keeps_its_colours_and_its_upper_edge() -> None:
    pixels = torch.zeros(3, 2, 5, dtype=torch.uint8)
    pixels[0, 0] = 200
    picture = as_picture(pixels)
    assert picture.size == (5, 2)
    assert picture.getpixel((4, 0)) == (200, 0, 0)
    assert picture.getpixel((4, 1)) == (0, 0, 0)


def test_a_grid_places_row_and_column_with_a_gap() -> None:
    dark, light = torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 4, 4), 9, dtype=torch.uint8)
    sheet = grid([[dark, light], [light]], gap=2)
    assert sheet.shape == (3, 10, 10)
    assert (sheet[:, :4, 6:] == 9).all()
    assert (sheet[:, 6:, :4] == 9).all()
    assert (sheet[:, 6:, 6:] == 255).all()
