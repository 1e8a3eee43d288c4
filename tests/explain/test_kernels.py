"""The gallery of classic kernels: what each makes of a picture, and the drawing of it."""

import numpy as np
import pytest
from PIL import Image

from app.errors import UserError
from app.explain import kernels
from app.explain.kernels import KERNELS, draw_kernels, filtered, read, shades, shipped

NAMED = {kernel.name: kernel for kernel in KERNELS}
EDGES = ("edge (Laplacian)", "Sobel x", "Sobel y")


def halves(axis):
    """Black, and white in its right (axis 1) or lower (axis 0) half."""
    picture = np.zeros((12, 12, 3), np.uint8)
    picture[(slice(6, None), slice(None)) if axis == 0 else (slice(None), slice(6, None))] = 255
    return picture


def test_the_gallery_has_the_classic_kernels():
    assert list(NAMED) == ["mean", "Gaussian", "sharpen", "edge (Laplacian)", "Sobel x", "Sobel y", "emboss"]


@pytest.mark.parametrize("name", NAMED)
def test_an_even_surface_stays_as_it_is_or_gives_nothing(name):
    even = np.full((7, 9, 3), (200, 120, 40), np.uint8)
    result = filtered(even, NAMED[name])
    if name in EDGES:
        np.testing.assert_array_equal(result, np.zeros((5, 7, 1)))
        assert np.all(abs(shades(result, NAMED[name]).astype(float) - 127.5) < 1)
    else:
        np.testing.assert_array_equal(shades(result, NAMED[name]), even[1:-1, 1:-1])


def test_a_blur_is_the_average_of_the_window():
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    blurred = filtered(picture, NAMED["mean"])
    assert blurred.shape == (4, 3, 3)
    np.testing.assert_allclose(blurred[1, 2], picture[1:4, 2:5].mean(axis=(0, 1)))
    weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])[..., None] / 16
    np.testing.assert_allclose(filtered(picture, NAMED["Gaussian"])[2, 0], (picture[2:5, :3] * weights).sum(axis=(0, 1)))


def test_sobel_x_sees_upright_edges_alone_and_sobel_y_level_ones():
    across, down = halves(axis=1), halves(axis=0)
    assert filtered(across, NAMED["Sobel x"])[4, :, 0].tolist() == [0, 0, 0, 0, 1020, 1020, 0, 0, 0, 0]
    assert filtered(255 - across, NAMED["Sobel x"]).min() == -1020  # darker to the right
    assert not filtered(across, NAMED["Sobel y"]).any()
    assert filtered(down, NAMED["Sobel y"])[:, 4, 0].tolist() == [0, 0, 0, 0, 1020, 1020, 0, 0, 0, 0]
    assert not filtered(down, NAMED["Sobel x"]).any()


def test_sharpening_makes_edges_steeper_and_a_relief_is_lit_from_the_upper_left():
    grey = halves(axis=1) // 2 + 50
    row = filtered(grey, NAMED["sharpen"])[4, :, 0]
    assert row.tolist() == [50, 50, 50, 50, 50 - 127, 177 + 127, 177, 177, 177, 177]
    square = np.zeros((20, 20, 3), np.uint8)
    square[6:14, 6:14] = 100
    relief = filtered(square, NAMED["emboss"])[..., 0]
    assert relief[5, 5] > 100 > relief[12, 12]  # its upper left corner, its lower right one


def test_changes_are_shown_around_middle_grey_and_other_values_are_cut():
    edges = np.array([[[-50.0], [0], [50]]])
    assert shades(edges, NAMED["Sobel x"]).ravel().tolist() == [0, 128, 255]
    assert shades(np.array([[[-3.0, 99.6, 400.0]]]), NAMED["sharpen"]).ravel().tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("size", "mode", "ending", "expected"),
    [
        ((400, 100), "RGB", "jpg", (50, 200, 3)),
        ((30, 60), "L", "png", (200, 100, 3)),
        ((50, 50), "RGBA", "webp", (200, 200, 3)),
        ((900, 2), "P", "gif", (24, 200, 3)),
    ],
)
def test_a_picture_of_any_kind_and_size_is_drawn(tmp_path, size, mode, ending, expected):
    file = tmp_path / f"mine.{ending}"
    Image.new(mode, size, 5).save(file)
    assert read(file).shape == expected
    draw_kernels(str(file), tmp_path / "kernels.png")
    with Image.open(tmp_path / "kernels.png") as drawn:
        assert drawn.format == "PNG"
        assert drawn.width == 1760


def test_a_picture_that_lies_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200)).save(tmp_path / "side.jpg", exif=exif)
    assert read(tmp_path / "side.jpg").shape == (200, 100, 3)


def test_without_a_picture_a_photograph_is_drawn_with_every_kernel(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "filtered", lambda picture, kernel: asked.append((picture, kernel)) or filtered(picture, kernel))
    draw_kernels(None, tmp_path / "kernels.PNG")
    assert [kernel for _, kernel in asked] == list(KERNELS)
    np.testing.assert_array_equal(asked[0][0], read(shipped()))
    with Image.open(tmp_path / "kernels.PNG") as drawn:
        assert len(drawn.convert("L").getcolors()) > 200


@pytest.mark.parametrize("name", ["kernels.svg", "kernels", "kernels.jpg"])
def test_another_format_is_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: the kernels are drawn as PNG; give a name that ends in \.png"):
        draw_kernels("no-such-picture.jpg", tmp_path / name)


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), (b"", "empty"), (b"hello", "not a picture")])
def test_a_picture_that_cannot_be_read_is_told_in_one_line(tmp_path, content, reason):
    file = tmp_path / "mine.jpg"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=reason) as refusal:
        draw_kernels(str(file), tmp_path / "kernels.png")
    assert "\n" not in str(refusal.value)
    assert str(file) in str(refusal.value)
    assert not (tmp_path / "kernels.png").exists()
