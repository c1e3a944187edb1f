"""Images become rows: from folders, arrays and IDX files; what can't be used is named."""

import gzip
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.settings import ROOT, preprocess

from hourglass.errors import ConfigError, DataError, UnknownNameError
from hourglass.schema import Kind
from hourglass.sources import LABEL, SOURCES
from hourglass.sources._picture import recolour, resize

MNIST = ROOT.parent / "shared" / "data" / "mnist" / "t10k-images-idx3-ubyte.gz"


def images(path, **changes):
    return SOURCES.load("images")(preprocess(source="images", **changes), path)


def values(source):
    return np.concatenate([chunk.values_NF for chunk in source.chunks()])


def beside(source, field):
    return np.concatenate([getattr(chunk, field) for chunk in source.chunks()])


def message(source, error=DataError):
    """The error that reading all of it ends in."""
    with pytest.raises(error) as caught:
        for _ in [source.layout(), *source.chunks()]:
            pass
    return str(caught.value)


def outcome(source, read):
    """`read` if all of it can be read, else the error."""
    try:
        list(source.chunks())
    except DataError as error:
        return str(error)
    return read


def pixels(seed=0, height=4, width=6, dtype=np.uint8, channels=()):
    high = 2**16 if dtype == np.uint16 else 256
    return np.random.default_rng(seed).integers(0, high, (height, width, *channels)).astype(dtype)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def write_idx(path, array, code, dtype):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.astype(dtype).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def folder(tmp_path):
    """Five grey images of 4 x 6 pixels in two classes."""
    root = tmp_path / "pictures"
    for seed, name in enumerate(
        ["cat/a.png", "cat/b.tif", "dog/a.png", "dog/x/c.png", "dog/d.png"]
    ):
        save(root / name, pixels(seed))
    return root


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_gives_each_image_as_a_row_sorted_by_path(folder):
    source = images(folder)
    order = [0, 1, 2, 4, 3]  # dog/a.png, dog/d.png, dog/x/c.png
    assert np.array_equal(values(source), [pixels(seed).ravel() for seed in order])
    assert source.place(4) == str(folder / "dog" / "x" / "c.png")


def test_the_layout_of_grey_images_has_walls_and_names_by_row_and_column(folder):
    layout = images(folder).layout()
    assert layout.shape == (4, 6, 1)
    assert layout.names[:2] + layout.names[6:8] == ("0,0", "0,1", "1,0", "1,1")
    assert (layout.dtype, layout.bounds, layout.kind) == (np.uint8, (0, 255), Kind.CONTINUOUS)
    assert values(images(folder)).dtype == np.uint8


def test_subfolders_are_the_labels_and_never_among_the_features(folder):
    source = images(folder)
    assert beside(source, "label_N").tolist() == [0, 0, 1, 1, 1]
    assert source.levels() == {LABEL: ("cat", "dog")}
    assert len(source.layout().names) == 24


def test_images_without_subfolders_have_no_labels(tmp_path):
    save(tmp_path / "a.png", pixels())
    source = images(tmp_path)
    assert [chunk.label_N for chunk in source.chunks()] == [None]
    assert source.levels() == {}


def test_images_beside_the_classes_have_no_label_and_are_warned_of(folder, caplog):
    save(folder / "z.png", pixels(9))
    with caplog.at_level(logging.WARNING):
        assert np.isnan(beside(images(folder), "label_N")).tolist() == [False] * 5 + [True]
    assert (
        "no label for 1 image beside the folders of the classes, the first is z.png" in caplog.text
    )


def test_hidden_files_and_links_that_lead_back_are_no_images(folder):
    save(folder / ".hidden" / "a.png", pixels())
    (folder / "cat" / "._a.png").write_bytes(b"resource fork")
    (folder / "dog" / "loop").symlink_to(folder)
    assert len(values(images(folder))) == 5


def test_a_linked_class_folder_is_followed(folder, tmp_path):
    save(tmp_path / "elsewhere" / "a.png", pixels(7))
    (folder / "emu").symlink_to(tmp_path / "elsewhere")
    source = images(folder)
    assert np.array_equal(values(source)[-1], pixels(7).ravel())
    assert source.levels() == {LABEL: ("cat", "dog", "emu")}


def test_files_that_are_no_images_are_said(folder, caplog):
    (folder / "notes.txt").write_text("hello")
    with caplog.at_level(logging.INFO):
        images(folder).layout()
    assert "left out, no PNG, JPEG or TIFF: 1 file: notes.txt" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_grey_images_of_16_bits_keep_them(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", pixels(dtype=np.uint16))
    source = images(tmp_path)
    layout = source.layout()
    assert (layout.dtype, layout.bounds, layout.kind) == (np.uint16, (0, 65535), Kind.CONTINUOUS)
    assert np.array_equal(values(source)[0], pixels(dtype=np.uint16).ravel())


def test_grey_images_of_16_bits_as_rgb_are_the_same_three_times(tmp_path):
    save(tmp_path / "a.png", pixels(dtype=np.uint16))
    row = values(images(tmp_path, image={"colour": "rgb"}))[0].reshape(4, 6, 3)
    assert all(np.array_equal(row[..., c], pixels(dtype=np.uint16)) for c in range(3))


def test_colour_images_as_rgb_keep_their_channels(tmp_path):
    array = pixels(channels=(3,))
    save(tmp_path / "a.png", array)
    source = images(tmp_path, image={"colour": "rgb"})
    assert source.layout().shape == (4, 6, 3)
    assert source.layout().names[:4] == ("0,0,r", "0,0,g", "0,0,b", "0,1,r")
    assert np.array_equal(values(source)[0], array.ravel())


def test_colour_images_as_grey_are_luma(tmp_path):
    array = pixels(channels=(3,))
    save(tmp_path / "a.png", array)
    exact = array @ np.array([0.299, 0.587, 0.114])
    assert np.abs(values(images(tmp_path))[0] - exact.ravel()).max() <= 0.5 + 1e-3


def test_arrays_and_files_become_grey_alike(tmp_path):
    array = pixels(height=64, width=64, channels=(3,))
    save(tmp_path / "a" / "a.png", array)
    np.save(tmp_path / "a.npy", array[None])
    assert np.array_equal(values(images(tmp_path / "a")), values(images(tmp_path / "a.npy")))


def test_transparent_parts_lie_over_white(tmp_path):
    array = np.zeros((2, 2, 4), np.uint8)
    array[0, :, 3] = 255
    save(tmp_path / "a.png", array)
    assert values(images(tmp_path)).tolist() == [[0, 0, 255, 255]]


def test_palettes_and_bilevel_images_become_grey_levels(tmp_path):
    Image.fromarray(pixels(channels=(3,)) // 255 * 255).quantize(4).save(tmp_path / "a.png")
    Image.fromarray(pixels() > 127).save(tmp_path / "b.png")
    assert np.array_equal(values(images(tmp_path))[1], (pixels() > 127).ravel() * 255)


def test_the_orientation_of_a_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    array = np.zeros((16, 32), np.uint8)
    array[:, :16] = 255
    save(tmp_path / "a.jpg", array, exif=exif, quality=95)
    source = images(tmp_path)
    assert source.layout().shape == (32, 16, 1)
    upright = values(source)[0].reshape(32, 16)
    assert (upright[:14] > 250).all()
    assert (upright[18:] < 5).all()


# --- sizes ----------------------------------------------------------------------------------------


def test_images_are_resized_to_height_and_width(folder):
    save(folder / "emu" / "large.png", pixels(5, height=20, width=30))
    source = images(folder, image={"size": [2, 3]})
    assert source.layout().shape == (2, 3, 1)
    assert values(source).shape == (6, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_flat_image_stays_flat_in_any_size(tmp_path, dtype):
    save(tmp_path / "a.png", np.full((9, 7), 201, dtype))
    rows = values(images(tmp_path, image={"size": [5, 11]}))
    assert (rows.dtype, rows.shape) == (dtype, (1, 55))
    assert (rows == 201).all()


@given(st.integers(0, 99), st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32]))
def test_halving_an_image_stays_within_its_extremes_and_near_its_mean(seed, dtype):
    array = np.random.default_rng(seed).integers(0, 100, (12, 20, 2)).astype(dtype)
    small = resize(array, (6, 10))
    assert (small.shape, small.dtype) == ((6, 10, 2), dtype)
    assert array.min() <= small.min()
    assert small.max() <= array.max()
    assert abs(small.mean() - array.mean()) < 5


def test_resizing_rounds_integers_to_the_nearest(tmp_path):
    steep = np.array([[0, 1000, 2002, 3004]], np.uint16)
    as_floats = resize(steep.astype(np.float32)[..., None], (1, 7))
    assert np.array_equal(resize(steep[..., None], (1, 7)), np.rint(as_floats).astype(np.uint16))


def test_a_different_size_is_named_with_both_sizes_and_the_remedy(folder):
    odd = save(folder / "dog" / "odd.png", pixels(height=5, width=7))
    assert message(images(folder)) == (
        f"{odd} is 5 x 7 pixels, but {folder / 'cat' / 'a.png'} is 4 x 6 (height x width); name "
        "the size that all are to get in params.yaml: preprocess.image.size: [4, 6]"
    )


def test_a_different_bit_depth_is_named(folder):
    deep = save(folder / "dog" / "deep.png", pixels(dtype=np.uint16))
    assert message(images(folder, on_bad_row="skip")) == (
        f"{deep} has 16 bits a pixel, but {folder / 'cat' / 'a.png'} has 8; "
        "save all images with the same"
    )


def test_images_with_too_many_pixels_for_a_model_ask_for_a_size(tmp_path):
    save(tmp_path / "a.png", np.zeros((1100, 1000), np.uint8))
    text = message(images(tmp_path))
    assert "has 1100 x 1000 x 1 = 1100000 values, and a row may have no more than 1048576" in text
    assert "set params.yaml: preprocess.image.size to a smaller [height, width]" in text
    assert images(tmp_path, image={"size": [11, 10]}).layout().shape == (11, 10, 1)


# --- images that can't be used --------------------------------------------------------------------


def test_a_corrupt_image_is_named(folder):
    bad = folder / "cat" / "bad.png"
    bad.write_bytes((folder / "cat" / "a.png").read_bytes()[:60])
    text = message(images(folder))
    assert text.startswith(f"{bad} could not be read as an image: ")
    assert text.endswith(
        "; mend or remove it, or leave such files out (params.yaml: preprocess.on_bad_row: skip)"
    )


@pytest.mark.parametrize(
    ("content", "cause"), [(b"", "it is empty"), (b"hello", "its 5 bytes are no PNG, JPEG or TIFF")]
)
def test_a_file_that_is_no_image_is_named(folder, content, cause):
    (folder / "cat" / "bad.png").write_bytes(content)
    assert f"bad.png could not be read as an image: {cause};" in message(images(folder))


def test_corrupt_images_are_left_out_counted_and_named_once(folder, caplog):
    (folder / "cat" / "a0.png").write_bytes(b"hello")
    (folder / "dog" / "e.png").write_bytes(b"")
    source = images(folder, on_bad_row="skip")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert beside(source, "row_N").tolist() == [0, 2, 3, 4, 6]
    assert source.skipped == {"could not be read as an image": 2}
    assert [r.args[0].args[0].split(" could")[0] for r in caplog.records] == [
        str(folder / "cat" / "a0.png"),
        str(folder / "dog" / "e.png"),
    ]
    assert source.place(6) == str(folder / "dog" / "x" / "c.png")
    assert np.array_equal(values(source)[1], pixels(1).ravel())


def test_a_corrupt_first_image_does_not_set_the_size(folder):
    (folder / "a.png").write_bytes(b"hello")
    assert images(folder, on_bad_row="skip").layout().shape == (4, 6, 1)


def test_a_folder_of_corrupt_images_only_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello")
    text = message(images(tmp_path, on_bad_row="skip"))
    assert text.startswith(f"{tmp_path}: none of its 1 images can be used; {tmp_path / 'a.png'} ")


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(20, 400),
    st.sampled_from(["PNG", "JPEG", "TIFF"]),
)
def test_damaged_files_are_read_or_named_never_a_traceback(tmp_path_factory, damage, end, kind):
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    save(path, pixels(channels=(3,)), format=kind)
    data = bytearray(path.read_bytes())
    for at, byte in damage:
        data[at % len(data)] = byte
    path.write_bytes(data[:end])
    assert str(path) in outcome(images(path.parent), str(path))


def test_a_decompression_bomb_is_refused(folder):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb = folder / "cat" / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")
    assert message(images(folder)).startswith(f"{bomb} has too many pixels: 89478485 are allowed;")
    source = images(folder, on_bad_row="skip")
    assert len(values(source)) == 5
    assert source.skipped == {"has too many pixels": 1}


def test_an_image_a_little_beyond_the_limit_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    save(tmp_path / "a.png", pixels())
    assert "has too many pixels: 20 are allowed" in message(images(tmp_path))


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(pixels(seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert "a.tif holds several pages: 3 pages" in message(images(tmp_path))


def test_colours_of_16_bits_are_refused_since_they_would_be_cut(tmp_path):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    raw = b"".join(b"\0" + bytes(2 * 6) for _ in range(2))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    assert "a.png has 16 bits a colour: they would be cut to 8" in message(images(tmp_path))


def test_pixels_of_32_bits_are_refused(tmp_path):
    save(tmp_path / "a.tif", np.zeros((4, 4), np.float32))
    assert "a.tif has 32 bits a pixel" in message(images(tmp_path))


# --- paths and settings ---------------------------------------------------------------------------


def test_a_missing_folder_is_answered_with_the_nearest(folder):
    text = message(images(folder.parent / "picture"))
    assert "picture is missing, did you mean 'pictures'?" in text


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    assert message(images(tmp_path)) == (
        f"{tmp_path} holds no image (it holds no file); put PNG, JPEG or TIFF files there, those "
        "of one class in one subfolder, or name another folder or an NPY, NPZ or IDX file in "
        "params.yaml: preprocess.path"
    )


def test_a_folder_without_images_says_what_was_found(tmp_path):
    (tmp_path / "a.bmp").write_bytes(b"BM")
    assert "holds no image (it holds a.bmp);" in message(images(tmp_path))


def test_a_folder_with_an_array_says_how_to_name_it(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2, 2)))
    assert message(images(tmp_path)).endswith(
        f"name the array itself, such as params.yaml: preprocess.path: {tmp_path / 'a.npy'}"
    )


def test_a_single_image_is_no_data_set(folder):
    text = message(images(folder / "cat" / "a.png"))
    assert "a.png is no array of images; name a folder of PNG, JPEG or TIFF files" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [("columns", ["a"]), ("drop", ["id"]), ("group", "g"), ("time", "t"), ("weight", "w")],
)
def test_what_names_columns_has_no_meaning_for_images(folder, key, value):
    empty = "''" if isinstance(value, str) else "[]"
    assert message(images(folder, **{key: value}), ConfigError) == (
        f"params.yaml: preprocess.{key}: images have no columns that it could name, got {value!r}; "
        f"set it to {empty}"
    )


def test_texts_for_gaps_have_no_meaning_for_images(folder):
    text = message(images(folder, missing_values=[-1]), ConfigError)
    assert text.startswith("params.yaml: preprocess.missing_values: pixels are numbers")


def test_a_label_has_no_meaning_for_a_folder(folder):
    assert "the subfolders are their labels; set it to ''" in message(
        images(folder, label="kind"), ConfigError
    )


# --- contract -------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "npy", "npz", "idx", "idx.gz"])
def any_source(request, folder, tmp_path):
    array = np.stack([pixels(seed) for seed in range(5)])
    labels = np.arange(5) % 2
    path = {"folder": folder, "npy": tmp_path / "a.npy", "npz": tmp_path / "a.npz"}.get(
        request.param, tmp_path / f"t-images-idx3-ubyte{request.param[3:]}"
    )
    if request.param == "npy":
        np.save(path, array)
    elif request.param == "npz":
        np.savez_compressed(path, X=array, y=labels)
    elif request.param.startswith("idx"):
        write_idx(path, array, 0x08, "u1")
        write_idx(tmp_path / f"t-labels-idx1-ubyte{request.param[3:]}", labels, 0x08, "u1")
    return images(path, image={"size": [3, 3]})


def same(one, other):
    fields = ("values_NF", "row_N", "label_N")
    for field in fields:
        a, b = ([getattr(c, field) for c in chunks] for chunks in (one, other))
        if a[0] is None:
            assert b[0] is None
        else:
            assert np.array_equal(np.concatenate(a), np.concatenate(b))


def test_chunks_are_the_same_each_time(any_source):
    same(list(any_source.chunks()), list(any_source.chunks()))


def test_rows_are_the_same_for_any_chunk_size(any_source, monkeypatch):
    whole = list(any_source.chunks())
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 1)
    parts = list(any_source.chunks())
    assert len(parts) == 5
    same(whole, parts)


def test_chunks_have_the_columns_and_the_type_of_the_layout(any_source):
    layout = any_source.layout()
    for chunk in any_source.chunks():
        assert chunk.values_NF.shape[1] == len(layout.names) == len(set(layout.names))
        assert chunk.values_NF.dtype == layout.dtype
        assert chunk.split_N is None


def test_the_title_begins_with_the_name_of_the_source(any_source):
    assert any_source.title == f"images: {any_source.path}"


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "given", "kind", "bounds"),
    [
        ("u1", "u1", Kind.CONTINUOUS, (0, 255)),
        (">u2", "u2", Kind.CONTINUOUS, (0, 65535)),
        ("?", "u1", Kind.BINARY, (0, 1)),
        (">i4", "i4", None, None),
        ("f2", "f4", None, None),
        (">f4", "f4", None, None),
        ("f8", "f8", None, None),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_keep_their_type(tmp_path, suffix, dtype, given, kind, bounds):
    array = np.random.default_rng(0).integers(0, 2, (7, 3, 4)).astype(dtype)
    path = tmp_path / f"a{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez(path, images=array)
    source = images(path)
    layout = source.layout()
    assert (layout.dtype, layout.kind, layout.bounds) == (np.dtype(given), kind, bounds)
    assert layout.shape == (3, 4, 1)
    assert np.array_equal(values(source), array.reshape(7, 12))
    assert values(source).dtype == given
    assert source.place(2) == "image 3"


def test_arrays_of_three_channels_follow_the_colour(tmp_path):
    array = pixels(height=5, channels=(6, 3))[..., :3]
    np.save(tmp_path / "a.npy", array)
    assert images(tmp_path / "a.npy").layout().shape == (6, 6, 1)
    rgb = images(tmp_path / "a.npy", image={"colour": "rgb"})
    assert rgb.layout().shape == (6, 6, 3)
    assert np.array_equal(values(rgb), array.reshape(len(array), -1))


def test_other_numbers_of_channels_are_kept(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3, 4, 7))
    np.save(tmp_path / "a.npy", array)
    source = images(tmp_path / "a.npy")
    assert source.layout().shape == (3, 4, 7)
    assert source.layout().names[:8] == (*(f"0,0,{c}" for c in range(7)), "0,1,0")
    assert np.array_equal(values(source), array.reshape(5, -1))


def test_luma_of_floats_is_weighted_and_of_integers_rounded():
    rgb = np.array([[[1.0, 0.5, 0.25]]])
    assert recolour(rgb, "grey").ravel() == pytest.approx([0.299 + 0.2935 + 0.0285])
    high = np.full((1, 1, 3), 65535, np.uint16)
    assert recolour(high, "grey").tolist() == [[[65535]]]


def test_channels_that_stand_first_are_warned_of(tmp_path, caplog):
    np.save(tmp_path / "a.npy", np.zeros((5, 3, 8, 8)))
    with caplog.at_level(logging.WARNING):
        images(tmp_path / "a.npy").layout()
    assert "save array.transpose(0, 2, 3, 1)" in caplog.text


def test_fortran_order_is_read_from_npy_and_refused_in_npz(tmp_path):
    array = np.asfortranarray(np.random.default_rng(0).normal(size=(6, 3, 4)))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", X=array)
    assert np.array_equal(values(images(tmp_path / "a.npy")), array.reshape(6, 12))
    assert "save numpy.ascontiguousarray(array)" in message(images(tmp_path / "a.npz"))


@pytest.mark.parametrize("labels", [np.array([3, 1, 2]), np.array([[3], [1], [2]])])
@pytest.mark.parametrize("name", ["y", "labels"])
def test_labels_of_an_archive_that_are_numbers_stay_so(tmp_path, name, labels):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2, 2)), **{name: labels})
    source = images(tmp_path / "a.npz")
    assert beside(source, "label_N").tolist() == [3, 1, 2]
    assert source.levels() == {}


def test_labels_of_an_archive_that_are_texts_become_codes(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2, 2)), kind=np.array(["dog", "cat", "dog"]))
    source = images(tmp_path / "a.npz", label="kind")
    assert beside(source, "label_N").tolist() == [0, 1, 0]
    assert source.levels() == {LABEL: ("dog", "cat")}


def test_an_unknown_label_array_is_answered_with_the_nearest(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2, 2)), kind=np.zeros(3))
    text = message(images(tmp_path / "a.npz", label="kinds"), UnknownNameError)
    assert "preprocess.label: no array 'kinds'" in text
    assert "did you mean 'kind'? (beside the images: kind)" in text


def test_labels_that_are_not_as_many_as_the_images_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2, 2)), y=np.zeros(4))
    assert "array 'y' has shape (4,), but there are 3 images in" in message(
        images(tmp_path / "a.npz")
    )


def test_which_array_holds_the_images_must_be_clear(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros((3, 2, 2)), b=np.zeros((4, 2, 2)), c=np.zeros(3))
    assert message(images(tmp_path / "a.npz")) == (
        f"{tmp_path / 'a.npz'}: which array holds the images? Arrays: a (3, 2, 2), b (4, 2, 2), "
        "c (3,); name it X, or leave just one with the shape N x height x width, or N x height x "
        "width x channels"
    )


def test_an_array_of_objects_beside_the_images_does_no_harm_and_is_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.ones((3, 2, 2)), meta=np.array([{}], dtype=object))
    assert values(images(tmp_path / "a.npz")).sum() == 12


def test_images_that_are_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([None] * 3, dtype=object))
    assert "holds Python objects" in message(images(tmp_path / "a.npy"))


@pytest.mark.parametrize("shape", [(5,), (5, 4), (2, 2, 2, 2, 2)])
def test_other_dimensions_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert f"has shape {shape}; images have N x height x width" in message(
        images(tmp_path / "a.npy")
    )


def test_an_array_without_images_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 4)))
    assert "has shape (0, 4, 4) and holds no values" in message(images(tmp_path / "a.npy"))


def test_integers_that_pillow_can_not_resize_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.int64))
    text = message(images(tmp_path / "a.npy", image={"size": [2, 2]}))
    assert "holds int64, which can't be resized; save it as int32 or float32" in text
    assert images(tmp_path / "a.npy").layout().dtype == np.int64


def test_a_label_has_no_meaning_for_an_npy_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4)))
    assert "an NPY file holds one array" in message(
        images(tmp_path / "a.npy", label="y"), ConfigError
    )


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_an_npy_file_that_is_not_as_long_as_its_header_says_is_refused(tmp_path, change):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4, 4)))
    data = path.read_bytes()
    path.write_bytes(data[:-8] if change == "shorter" else data + bytes(8))
    found = 376 if change == "shorter" else 392
    assert message(images(path)) == (
        f"{path}: its header says shape (3, 4, 4) of float64, 384 bytes of values, but there are "
        f"{found}; the file is cut off or damaged, bring it anew"
    )


def test_a_header_with_absurd_dimensions_costs_no_memory(tmp_path):
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 99999, 99999), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    assert "but there are 64; the file is cut off or damaged" in message(images(path))


def test_a_damaged_archive_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 4, 4)))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:200])
    assert "a.npz can't be read as NPZ: File is not a zip file" in message(
        images(tmp_path / "a.npz")
    )


@given(
    st.sampled_from(["a.npy", "a.npz", "a.idx", "a.idx.gz"]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(10, 900),
)
def test_damaged_arrays_are_read_or_named_never_a_traceback(tmp_path_factory, name, damage, end):
    path = tmp_path_factory.mktemp("damaged") / name
    array = np.stack([pixels(seed) for seed in range(5)])
    if ".idx" in name:
        write_idx(path, array, 0x08, "u1")
    else:
        np.save(path, array) if name == "a.npy" else np.savez(path, X=array, y=np.arange(5))
    data = bytearray(path.read_bytes())
    for at, byte in damage:
        data[at % len(data)] = byte
    path.write_bytes(data[:end])
    assert str(path) in outcome(images(path), str(path))


# --- IDX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_idx_files_of_each_type_are_read(tmp_path, code, dtype):
    array = np.random.default_rng(0).integers(0, 100, (5, 3, 4)).astype(dtype)
    source = images(write_idx(tmp_path / "x.idx3", array, code, dtype))
    assert source.layout().dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(values(source), array.reshape(5, 12))


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_labels_beside_an_idx_file_are_taken_by_themselves(tmp_path, packed):
    path = write_idx(tmp_path / "t-images-idx3-ubyte.gz", np.zeros((3, 2, 2)), 0x08, "u1")
    write_idx(tmp_path / f"t-labels-idx1-ubyte{packed}", np.array([2, 0, 1]), 0x08, "u1")
    assert beside(images(path), "label_N").tolist() == [2, 0, 1]


def test_the_label_file_of_an_idx_file_may_be_named(tmp_path):
    path = write_idx(tmp_path / "x.idx", np.zeros((3, 2, 2)), 0x08, "u1")
    write_idx(tmp_path / "y.idx", np.array([2, 0, 1]), 0x08, "u1")
    assert [c.label_N for c in images(path).chunks()] == [None]
    assert beside(images(path, label="y.idx"), "label_N").tolist() == [2, 0, 1]
    assert "did you mean 'y.idx'?" in message(images(path, label="y.idy"))


def test_labels_of_an_idx_file_must_be_as_many(tmp_path):
    path = write_idx(tmp_path / "x-images", np.zeros((3, 2, 2)), 0x08, "u1")
    labels = write_idx(tmp_path / "x-labels", np.zeros(4), 0x08, "u1")
    assert message(images(path)).startswith(
        f"{labels} has shape (4,), but there are 3 images in {path}"
    )


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_truncated_idx_file_is_named_with_expected_and_found_bytes(tmp_path, packed):
    path = write_idx(tmp_path / f"x.idx{packed}", np.ones((5, 3, 4)), 0x08, "u1")
    data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    path.write_bytes(gzip.compress(data[:-7]) if packed else data[:-7])
    assert message(images(path)) == (
        f"{path}: its header says shape (5, 3, 4) of uint8, 60 bytes of values, but there are 53; "
        "the file is cut off or damaged, bring it anew"
    )


def test_a_packed_idx_file_that_is_cut_off_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 30, 30))
    path = write_idx(tmp_path / "x.gz", noise, 0x08, "u1")
    path.write_bytes(path.read_bytes()[:-5000])
    assert "45000 bytes of values, but there are 4" in message(images(path))


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_an_idx_file_that_is_too_long_is_named(tmp_path, packed):
    path = write_idx(tmp_path / f"x.idx{packed}", np.ones((5, 3, 4)), 0x08, "u1")
    data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    path.write_bytes(gzip.compress(data + b"1") if packed else data + b"1")
    assert f"60 bytes of values, but there are {'more' if packed else 61};" in message(images(path))


def test_labels_that_are_more_than_their_header_says_are_named(tmp_path):
    path = write_idx(tmp_path / "x-images", np.zeros((3, 2, 2)), 0x08, "u1")
    labels = write_idx(tmp_path / "x-labels.gz", np.zeros(3), 0x08, "u1")
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes()) + b"1"))
    assert message(images(path)).startswith(f"{labels}: its header says shape (3,)")


def test_absurd_dimensions_of_a_packed_idx_file_are_refused(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 40_000, 40_000)))
    assert "images of 1600000000 pixels; no more than 89478485 are read" in message(images(path))
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 28, 28)))
    assert "3367254359280 bytes of values, but there are 0;" in message(images(path))


def test_a_label_file_in_place_of_the_images_is_told(tmp_path):
    path = write_idx(tmp_path / "y.idx", np.zeros(5), 0x08, "u1")
    assert "are these the labels? Name the file of the images" in message(images(path))


def test_an_unknown_file_is_no_array_of_images(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB")
    assert "a.mat is no array of images" in message(images(tmp_path / "a.mat"))
    (tmp_path / "empty.npy").touch()
    assert "empty.npy is empty" in message(images(tmp_path / "empty.npy"))


@pytest.mark.skipif(not MNIST.exists(), reason="needs MNIST's test images")
def test_mnist_is_read_with_its_labels():
    source = images(MNIST)
    layout = source.layout()
    assert (layout.shape, layout.dtype, layout.bounds) == ((28, 28, 1), np.uint8, (0, 255))
    assert values(source).shape == (10_000, 784)
    counts = np.bincount(beside(source, "label_N").astype(int))
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
