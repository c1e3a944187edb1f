"""Images that lie in one array: NPY, NPZ or IDX.

Shapes: N images, H height, W width, C channels.
"""

import logging
from collections.abc import Iterator
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hourglass import config
from hourglass.catalog import nearest
from hourglass.errors import ConfigError, DataError, UnknownNameError
from hourglass.paths import named
from hourglass.schema import Kind
from hourglass.sources import LABEL, Chunk, Layout
from hourglass.sources._picture import channels_in, pixel_names, recolour, resize
from hourglass.sources._stored import (
    IdxFile,
    NpyFile,
    NpzMember,
    Stored,
    is_idx,
    labels_beside,
    npz_members,
)
from hourglass.sources._table import chunk_rows
from hourglass.sources._width import check_width

log = logging.getLogger(__name__)

IMAGES = ("X", "images")  # what the arrays of an NPZ file are called
LABELS = ("y", "labels")
_RESIZED = ("b1", "u1", "i1", "u2", "i2", "i4", "f2", "f4", "f8")
_DIMENSIONS = "N x height x width, or N x height x width x channels"


class ImageArray:
    """The images of one file, and their labels where it has some or a file beside it.

    Args:
        file: It.
        image: How they are to be.
        label: What holds the labels, where several things may; None: they don't matter.
    """

    def __init__(self, file: Path, image: config.Image, label: str | None = "") -> None:
        self._image = image
        self._array, self._labels = _open(file, label)
        self._codes: dict[str, int] = {}
        self._array.check()
        if self._labels is not None:
            _check_labels(self._labels, self._array)

    @property
    def count(self) -> int:
        """Images that the file says it holds."""
        return int(self._array.shape[0])

    @cached_property
    def layout(self) -> Layout:
        """See `Source.layout`."""
        array = self._array
        _check_images(array)
        height, width, channels = (*array.shape[1:], 1)[:3]
        height, width = self._image.size or (height, width)
        shape = (height, width, channels_in(self._image.colour, channels))
        check_width(
            shape,
            f"an image of {array.what}",
            "set params.yaml: preprocess.image.size to a smaller [height, width]",
        )
        if self._image.size and array.dtype.str[1:] not in _RESIZED:
            raise DataError(
                f"{array.what} holds {array.dtype}, which can't be resized; save it as int32 or "
                "float32, or set params.yaml: preprocess.image.size to []"
            )
        kind, bounds = _KINDS.get(array.dtype.name, (None, None))
        return Layout(pixel_names(shape), {}, kind, bounds, shape, dtype=_plain(array.dtype))

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        dtype, width = self.layout.dtype, len(self.layout.names)
        rows = chunk_rows(int(np.prod(self._array.shape[1:])))
        labels = self._labels.blocks(rows) if self._labels is not None else repeat(np.empty(0))
        # Strict: each file is asked for more than it declares, and so found out if it holds more.
        for block, label_N in zip(
            self._array.blocks(rows), labels, strict=self._labels is not None
        ):
            images = self._conformed(np.array(block, dtype))
            coded_N = self._coded(label_N) if self._labels is not None else None
            yield Chunk(images.reshape(len(images), width), label_N=coded_N)

    def levels(self) -> dict[str, tuple[str, ...]]:
        """See `Source.levels`."""
        return {LABEL: tuple(self._codes)} if self._codes else {}

    def place(self, row: int) -> str:
        """See `Source.place`."""
        return f"image {row + 1}"

    def _conformed(self, block: NDArray[Any]) -> NDArray[Any]:
        """In colour and size, shape (n, H, W, C)."""
        images = recolour(block if block.ndim == 4 else block[..., None], self._image.colour)
        size = self._image.size
        return np.stack([resize(image, size) for image in images]) if size else images

    def _coded(self, label_N: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers as they are, texts as codes."""
        label_N = label_N.reshape(len(label_N))
        if label_N.dtype.kind != "U":
            return label_N.astype(np.float64)
        codes = [self._codes.setdefault(text, len(self._codes)) for text in label_N.tolist()]
        return np.array(codes, np.float64)


_KINDS = {
    "uint8": (Kind.CONTINUOUS, (0.0, 255.0)),
    "uint16": (Kind.CONTINUOUS, (0.0, 65535.0)),
    "bool": (Kind.BINARY, (0.0, 1.0)),
}


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of chunks: in native byte order; booleans are 0 and 1, halves become singles."""
    special = {"bool": "uint8", "float16": "float32", "longdouble": "float64"}
    return np.dtype(special.get(dtype.name, dtype.newbyteorder("=")))


def _open(file: Path, label: str | None) -> tuple[Stored, Stored | None]:
    """The images and their labels."""
    if not file.stat().st_size:
        raise DataError(f"{file} is empty; put an array of images there")
    suffix = file.suffix.lower()
    if suffix == ".npz":
        return _open_npz(file, label)
    if suffix == ".npy":
        if label:
            raise ConfigError(
                f"params.yaml: preprocess.label: {label!r} names nothing in {file}: an NPY file "
                "holds one array; save images and labels as an NPZ file, or set it to ''"
            )
        return NpyFile(file), None
    if not is_idx(file):
        raise DataError(
            f"{file} is no array of images; name a folder of PNG, JPEG or TIFF files, or an NPY, "
            "NPZ or IDX file (MNIST's format, also .gz)"
        )
    if label is None:
        return IdxFile(file), None
    beside = (
        named(file.parent / label, "params.yaml: preprocess.label")
        if label
        else labels_beside(file)
    )
    return IdxFile(file), IdxFile(beside) if beside else None


def _open_npz(file: Path, label: str | None) -> tuple[Stored, Stored | None]:
    members = npz_members(file)
    images = _images_of(file, members)
    if label is None:
        return images, None
    others = [name for name in members if name != images.name]
    if label and label not in others:
        raise UnknownNameError(
            f"params.yaml: preprocess.label: no array {label!r} in {file}"
            f"{nearest(label, others)} (beside the images: {', '.join(others) or 'none'})"
        )
    asked = [label] if label else [name for name in LABELS if name in others]
    return images, members[asked[0]] if asked else None


def _images_of(file: Path, members: dict[str, NpzMember]) -> NpzMember:
    for name in IMAGES:
        if name in members:
            return members[name]
    several = [array for array in members.values() if len(array.shape) in (3, 4)]
    if len(several) != 1:
        arrays = ", ".join(f"{name} {array.shape}" for name, array in members.items()) or "none"
        raise DataError(
            f"{file}: which array holds the images? Arrays: {arrays}; name it X, or leave just one "
            f"with the shape {_DIMENSIONS}"
        )
    return several[0]


def _check_images(array: Stored) -> None:
    """Refuses what is no array of images, and sizes that no image has.

    Raises:
        DataError: with shape or type, and what to do.
    """
    shape = array.shape
    if array.dtype.kind not in "biuf":
        raise DataError(f"{array.what} holds {array.dtype}, and pixels are numbers; encode them")
    if len(shape) not in (3, 4):
        hint = "; are these the labels? Name the file of the images" if len(shape) == 1 else ""
        raise DataError(f"{array.what} has shape {shape}; images have {_DIMENSIONS}{hint}")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and shape[1] * shape[2] > limit:
        raise DataError(
            f"{array.what} has shape {shape}, images of {shape[1] * shape[2]} pixels; "
            f"no more than {limit} are read"
        )
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 4:
        log.warning(
            "%s has shape %s, which is read as %d x %d pixels with %d channels; if the channels "
            "stand first, save array.transpose(0, 2, 3, 1)",
            *(array.what, shape, shape[1], shape[2], shape[3]),
        )


def _check_labels(labels: Stored, images: Stored) -> None:
    labels.check()
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise DataError(
            f"{labels.what} has shape {labels.shape}, but there are {len(images)} images in "
            f"{images.what}; labels are one a row: mend them, or name others in params.yaml: "
            "preprocess.label"
        )
    if labels.dtype.kind not in "biufU":
        raise DataError(
            f"{labels.what} holds {labels.dtype}; labels are numbers or texts (NumPy's type U)"
        )
