"""Images that are brought to colour and size of those that the model was trained on.

Shapes: n images of a chunk, H height, W width, C channels.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.catalog import listed
from hourglass.config import Image
from hourglass.errors import DataError
from hourglass.incoming._rows import Chunk, Incoming, rows_of
from hourglass.schema import Schema
from hourglass.sources._image_array import ImageArray
from hourglass.sources._image_folder import WALLS, images_below
from hourglass.sources._picture import UnreadableError, decode, resize

FILE = "file"  # in the answers: path of an image below the folder


class Folder(Incoming):
    """All PNG, JPEG and TIFF files below a folder, sorted by path.

    Raises:
        DataError: there is none.
    """

    names = told = (FILE,)

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._image = _prepared(schema)
        self._files, others = images_below(folder)
        if not self._files:
            found = f"it holds {listed([p.name for p in others])}" if others else "it is empty"
            raise DataError(f"{folder} holds no PNG, JPEG or TIFF file; {found}")

    def chunks(
        self,
        rows: int,
        keep: Sequence[str],  # noqa: ARG002  the only column stands there anyway
        numbers: Collection[str],  # noqa: ARG002  there is none
    ) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        for start in range(0, len(self._files), rows):
            yield self._chunk(self._files[start : start + rows])

    def _chunk(self, files: list[Path]) -> Chunk:
        shape = _shape(self._schema)
        images_nHWC, wrong = np.full((len(files), *shape), np.nan), {}
        for i, file in enumerate(files):
            try:
                images_nHWC[i] = self._pixels(file, shape)
            except UnreadableError as error:
                wrong[i] = f"{error.reason}: {error.cause}"
        names = [file.relative_to(self._folder).as_posix() for file in files]
        return Chunk(images_nHWC, pa.table({FILE: names}), lambda i: names[i], wrong)

    def _pixels(self, file: Path, shape: tuple[int, int, int]) -> NDArray[Any]:
        pixels_HWC = decode(file, self._image.colour)
        if other := _other_levels(self._schema, WALLS[pixels_HWC.dtype.name]):
            raise UnreadableError(file, "has other grey levels", other)
        if self._image.size:
            pixels_HWC = resize(pixels_HWC, self._image.size)
        if pixels_HWC.shape != shape:
            own, taken = (" x ".join(map(str, size)) for size in (pixels_HWC.shape[:2], shape[:2]))
            raise UnreadableError(
                file, "has another size", f"{own} pixels, and the model takes {taken}"
            )
        return pixels_HWC


class Stack(Incoming):
    """Images in one NPY, NPZ or IDX file.

    Raises:
        DataError: it can't be read, or holds other images than the model takes.
    """

    def __init__(self, file: Path, schema: Schema) -> None:
        self._file, self._shape = file, _shape(schema)
        self._array = ImageArray(file, _prepared(schema))
        layout = self._array.layout
        if layout.shape != self._shape:
            raise DataError(
                f"{file} holds images of {layout.shape} (height, width, channels), and the model "
                f"takes {self._shape}"
            )
        if layout.bounds and (other := _other_levels(schema, layout.bounds)):
            raise DataError(f"{file} has other grey levels: {other}")

    def chunks(
        self,
        rows: int,
        keep: Sequence[str],  # noqa: ARG002  there is no column
        numbers: Collection[str],  # noqa: ARG002
    ) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        first = 0
        for chunk in self._array.chunks():
            images_nHWC = chunk.values_NF.reshape(-1, *self._shape)
            for start in range(0, len(images_nHWC), rows):
                part = images_nHWC[start : start + rows]
                yield rows_of(part, first)
                first += len(part)


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
    return f"they go from {walls[0]:g} to {walls[1]:g}, those that it was trained on to {high:g}"


def _shape(schema: Schema) -> tuple[int, int, int]:
    """Height, width, channels."""
    height, width, channels = schema.shape or ()
    return height, width, channels
