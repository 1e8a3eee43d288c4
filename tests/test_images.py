import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.images import PIXEL_CAP, UnreadablePicture, eight_bit, load_picture, resize, with_channels
from tests.data.photos import encoded, photo

RGB = (20, 30, 3)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quadrants():
    """Red and green above, blue and white below; wider than high."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:], picture[20:, :30], picture[20:, 30:] = RED, GREEN, BLUE, WHITE
    return picture


def corners(picture):
    return [tuple(picture[y, x]) for y in (2, -3) for x in (2, -3)]


def near(one, other, levels=2):
    return np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= levels


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_usual_format_gives_the_same_picture(form, channels):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    loaded = load_picture(encoded(photo(1), form, **options), (48, 64, channels))
    expected = with_channels(photo(1), channels)
    assert loaded.shape == (48, 64, channels)
    assert loaded.dtype == np.uint8
    assert np.abs(loaded.astype(int) - expected).mean() < (12 if form == "GIF" else 3)


def test_a_path_its_text_and_its_bytes_give_equal_pixels(tmp_path):
    file = tmp_path / "naïve фото 写真.jpg"
    file.write_bytes(encoded(photo(2), "JPEG"))
    by_path = load_picture(file, RGB)
    np.testing.assert_array_equal(load_picture(str(file), RGB), by_path)
    np.testing.assert_array_equal(load_picture(file.read_bytes(), RGB), by_path)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda upright: upright),
        (2, lambda upright: upright[:, ::-1]),
        (3, lambda upright: np.rot90(upright, 2)),
        (4, lambda upright: upright[::-1]),
        (5, lambda upright: upright.swapaxes(0, 1)),
        (6, lambda upright: np.rot90(upright, 1)),
        (7, lambda upright: np.rot90(upright, 2).swapaxes(0, 1)),
        (8, lambda upright: np.rot90(upright, -1)),
    ],
)
def test_a_camera_held_sideways_still_gives_an_upright_picture(orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.ascontiguousarray(stored(quadrants())), "JPEG", exif=exif, quality=95)
    for size in ((40, 60), (10, 15)):
        assert near(corners(load_picture(data, (*size, 3))), [RED, GREEN, BLUE, WHITE], 50)


def test_a_picture_is_stretched_and_antialiased():
    stripes = np.zeros((40, 60), np.uint8)
    stripes[:, ::2] = 255
    small = load_picture(encoded(stripes), (10, 10, 1))
    assert small.shape == (10, 10, 1)
    assert near(small, 127, 12)


def test_a_picture_of_the_wanted_size_is_untouched():
    np.testing.assert_array_equal(load_picture(encoded(photo(3, *RGB[:2])), RGB), photo(3, *RGB[:2]))
    np.testing.assert_array_equal(resize(photo(3), 48, 64), photo(3))
    assert resize(photo(3, channels=1)[..., 0], 5, 7).shape == (5, 7, 1)


def test_transparency_lies_on_white():
    clear = np.zeros((20, 30, 4), np.uint8)
    clear[:10] = (255, 0, 0, 255)
    half = np.zeros((20, 30, 4), np.uint8)
    half[...] = (0, 0, 0, 128)
    loaded = load_picture(encoded(clear), RGB)
    assert tuple(loaded[0, 0]) == RED
    assert tuple(loaded[-1, 0]) == WHITE
    assert near(load_picture(encoded(half), RGB), 127)


def test_palette_and_grey_pictures_with_transparency_lie_on_white():
    palette = Image.new("P", (30, 20), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(1, (0, 0, 30, 10))
    loaded = load_picture(encoded(palette, transparency=0), RGB)
    assert [tuple(loaded[0, 0]), tuple(loaded[-1, 0])] == [RED, WHITE]
    assert tuple(load_picture(encoded(palette, "GIF", transparency=0), RGB)[-1, 0]) == WHITE
    grey = Image.new("LA", (30, 20), (90, 255))
    grey.paste((0, 0), (0, 10, 30, 20))
    for channels in (1, 3):
        loaded = load_picture(encoded(grey), (20, 30, channels))
        assert [loaded[0, 0, 0], loaded[-1, 0, 0]] == [90, 255]


def test_printing_colours_one_bit_and_palettes_become_rgb():
    cmyk = Image.fromarray(quadrants()).convert("CMYK")
    for form in ("TIFF", "JPEG"):
        assert near(corners(load_picture(encoded(cmyk, form), (40, 60, 3))), [RED, GREEN, BLUE, WHITE], 8)
    bits = Image.new("1", (30, 20), 0)
    bits.paste(1, (0, 0, 30, 10))
    assert [tuple(load_picture(encoded(bits), RGB)[y, 0]) for y in (0, -1)] == [WHITE, (0, 0, 0)]
    palette = Image.fromarray(quadrants()).quantize(4)
    assert near(corners(load_picture(encoded(palette), (40, 60, 3))), [RED, GREEN, BLUE, WHITE])


def test_sixteen_bits_become_eight_with_black_and_white_kept():
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    for form in ("PNG", "TIFF"):
        loaded = load_picture(encoded(Image.fromarray(values), form), (20, 30, 1))[..., 0]
        np.testing.assert_array_equal(loaded, np.round(values / 257))
    dark = load_picture(encoded(Image.fromarray(values // 300)), RGB)
    assert dark.max() <= 1  # a dark picture stays dark: nothing is stretched to its own range


def test_pixels_without_a_known_range_are_refused():
    for mode in ("I", "F"):
        with pytest.raises(UnreadablePicture, match="32 bits"):
            eight_bit(Image.new(mode, (3, 2)), 3)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_picture(form):
    frames = [Image.fromarray(photo(seed)) for seed in (1, 2, 3)]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(load_picture(data, RGB), load_picture(encoded(frames[0], form, **options), RGB))


@pytest.mark.parametrize(("height", "width"), [(1200, 1600), (1600, 1200), (333, 1000)])
@pytest.mark.parametrize("shape", [(64, 64, 3), (20, 90, 3), (90, 20, 1)])
def test_decoding_a_jpeg_small_changes_it_by_less_than_is_seen(height, width, shape):
    data = encoded(photo(4, height, width, cells=20), "JPEG", quality=92)
    with Image.open(io.BytesIO(data)) as whole:
        expected = resize(whole.convert("L" if shape[2] == 1 else "RGB"), *shape[:2])
    difference = np.abs(load_picture(data, shape).astype(int) - expected)
    assert difference.mean() < 3
    assert difference.max() < 40


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_never_decoded_smaller_than_it_is_wanted(orientation, monkeypatch):
    decoded = []
    monkeypatch.setattr("app.images.eight_bit", lambda image, channels: decoded.append(image.size) or eight_bit(image, channels))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(5, 800, 1000), "JPEG", exif=exif)
    for height, width in ((30, 380), (380, 30), (100, 100), (700, 750)):
        load_picture(data, (height, width, 3))
        assert decoded[-1][0] >= width
        assert decoded[-1][1] >= height


def png_that_claims(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (10_001, 10_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width, height, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(UnreadablePicture, match=f"more than {PIXEL_CAP // 10**6} million pixels"):
        load_picture(png_that_claims(width, height), RGB)


def test_what_is_not_a_whole_picture_is_refused_in_a_few_words(tmp_path):
    whole = {form: encoded(photo(6), form) for form in ("JPEG", "PNG")}
    (tmp_path / "empty.png").touch()
    for source, reason in {
        b"": "the file is empty",
        tmp_path / "empty.png": "the file is empty",
        tmp_path / "none.png": "there is no such file",
        b"some words": "not a picture",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n": "not a picture",
        whole["JPEG"][: len(whole["JPEG"]) // 2]: "the file is truncated",
        whole["PNG"][: len(whole["PNG"]) // 2]: "the file is truncated",
        whole["JPEG"][:20]: None,
        tmp_path: None,
    }.items():
        with pytest.raises(UnreadablePicture) as told:
            load_picture(source, RGB)
        assert 0 < len(str(told.value)) < 120
        assert "\n" not in str(told.value)
        assert reason is None or str(told.value) == reason


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_damaged_bytes_give_pixels_or_a_reason_and_nothing_else(form, caplog):
    rng = np.random.default_rng(7)
    exif = {"exif": Image.Exif()} if form in ("JPEG", "PNG", "WEBP") else {}
    whole = encoded(photo(8, 20, 24), form, **exif)
    reasons = 0
    for _ in range(250):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, min(len(whole), rng.choice([60, len(whole)])), 4)] = rng.integers(0, 256, 4)
        try:
            assert load_picture(damaged.tobytes(), (8, 8, 3)).shape == (8, 8, 3)
        except UnreadablePicture as reason:
            reasons += bool(str(reason))
    assert reasons > 20


def test_whatever_a_reader_raises_is_a_reason(monkeypatch):
    def stumble(image):
        raise TypeError("an IFDRational is no number\nof lines")

    monkeypatch.setattr("app.images.ImageOps.exif_transpose", stumble)
    with pytest.raises(UnreadablePicture, match=r"^an IFDRational is no number$"):
        load_picture(encoded(photo(1)), RGB)


def test_grey_is_exactly_what_pillow_makes_of_rgb():
    pictures = np.random.default_rng(9).integers(0, 256, (4, 50, 60, 3), dtype=np.uint8)
    pictures[0, 0, 0], pictures[0, 0, 1] = 0, 255
    expected = [np.asarray(Image.fromarray(picture).convert("L"))[..., None] for picture in pictures]
    np.testing.assert_array_equal(with_channels(pictures, 1), expected)


def test_grey_repeats_into_rgb_and_back():
    grey = photo(10, channels=1)
    np.testing.assert_array_equal(with_channels(with_channels(grey, 3), 1), grey)
    assert with_channels(grey, 1) is grey
