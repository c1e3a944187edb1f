"""Images that are brought to colour and size of those that the model was trained on.

Shapes: n images of a chunk, H height, W width, C channels.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.catalog import listed
from hourglass.config import Image
from hourglass.errors import DataError
from hourglass.incoming._rows import Chunk, Incoming, Loaded, rows_of
from hourglass.schema import Schema
from hourglass.sources._image_array import ImageArray
from hourglass.sources._image_folder import WALLS, images_below
from hourglass.sources._picture import UnreadableError, decode, resize

HIGHEST = frozenset(high for _, high in WALLS.values())
FILE = "file"  # in the answers: path of an image below the folder


class Folder(Incoming):
    """All PNG, JPEG and TIFF files below a folder, sorted by path.

    Raises:
        DataError: there is none.
    """

    told = (FILE,)

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._shape, self._image = _shape(schema), _prepared(schema)
        if self._shape[2] not in (1, 3):
            raise DataError(
                f"IN is {folder}; the model takes images of {self._shape[2]} channels, and image "
                "files are grey or coloured: give an array, .npy or .npz"
            )
        self.files, others = images_below(folder)
        if not self.files:
            found = f"it holds {listed([p.name for p in others])}" if others else "it is empty"
            raise DataError(f"{folder} holds no PNG, JPEG or TIFF file; {found}")

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        for start in range(0, len(self.files), rows):
            files = self.files[start : start + rows]
            names = [_name(file.relative_to(self._folder)) for file in files]
            yield Chunk(partial(self._load, files), pa.table({FILE: names}), names.__getitem__)

    def _load(self, files: Sequence[Path]) -> Loaded:
        images_nHWC, wrong = np.full((len(files), *self._shape), np.nan), {}
        for i, file in enumerate(files):
            try:
                images_nHWC[i] = self._pixels(file)
            except UnreadableError as error:
                wrong[i] = f"{error.reason}: {error.cause}"
        return images_nHWC, wrong

    def _pixels(self, file: Path) -> NDArray[Any]:
        pixels_HWC = decode(file, self._image.colour)
        if other := _other_levels(self._schema, WALLS[pixels_HWC.dtype.name]):
            raise UnreadableError(file, "has other grey levels", other)
        if self._image.size:
            return resize(pixels_HWC, self._image.size)
        if pixels_HWC.shape != self._shape:
            sizes = (pixels_HWC.shape[:2], self._shape[:2])
            own, taken = (" x ".join(map(str, size)) for size in sizes)
            raise UnreadableError(
                file, "has another size", f"{own} pixels, and the model takes {taken}"
            )
        return pixels_HWC


def _name(path: Path) -> str:
    """A path as a text, also of a name that is none."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


class Stack(Incoming):
    """Images in one NPY, NPZ or IDX file.

    Raises:
        DataError: it can't be read, or holds other images than the model takes.
    """

    def __init__(self, file: Path, schema: Schema) -> None:
        self.files = [file]
        self._schema, self._shape = schema, _shape(schema)
        self._array = ImageArray(file, _prepared(schema), None)
        layout = self._array.layout
        if layout.shape != self._shape:
            raise DataError(
                f"{file} holds images of {layout.shape} (height, width, channels), and the model "
                f"takes {self._shape}"
            )
        if layout.bounds and (other := _other_levels(schema, layout.bounds)):
            raise DataError(f"{file} has other grey levels: {other}")

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        first = 0
        for chunk in self._array.chunks():
            images_nHWC = chunk.values_NF.reshape(-1, *self._shape)
            self._require_levels(images_nHWC)
            for start in range(0, len(images_nHWC), rows):
                part = images_nHWC[start : start + rows]
                yield rows_of(part, first)
                first += len(part)

    def _require_levels(self, images_nHWC: NDArray[Any]) -> None:
        """Refuses shares of a grey level's range where the model takes grey levels."""
        high = self._schema.columns[0].high
        if images_nHWC.dtype.kind != "f" or high not in HIGHEST:
            return
        seen_K = images_nHWC[np.isfinite(images_nHWC)]
        if len(seen_K) and seen_K.min() >= 0 and seen_K.max() <= 1 and (seen_K % 1).any():
            raise DataError(
                f"{self.files[0]} has other grey levels: they go from 0 to 1, those of the "
                f"training rows to {high:g}; multiply them by {high:g}"
            )


def _prepared(schema: Schema) -> Image:
    """How images are read: as before the training."""
    height, width, channels = _shape(schema)
    size = (height, width) if schema.resized else ()
    return Image(size=size, colour="grey" if channels == 1 else "rgb")


def _other_levels(schema: Schema, walls: tuple[float, float]) -> str:
    """What is wrong with grey levels between these walls; "" if the model may have the same."""
    low, high = schema.columns[0].low, schema.columns[0].high
    if low is None or high is None or (low, high) == walls:
        return ""
    return f"they go from {walls[0]:g} to {walls[1]:g}, those of the training rows to {high:g}"


def _shape(schema: Schema) -> tuple[int, int, int]:
    """Height, width, channels."""
    height, width, channels = schema.shape or ()
    return height, width, channels
