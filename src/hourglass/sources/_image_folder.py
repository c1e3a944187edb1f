"""A folder of image files; its subfolders are the classes.

Shapes: n images of a chunk, F values of an image.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import counted, listed
from hourglass.config import Preprocess
from hourglass.errors import ConfigError, DataError
from hourglass.schema import Kind
from hourglass.sources import LABEL, Chunk, Layout
from hourglass.sources._picture import Pixels, UnreadableError, decode, pixel_names, resize
from hourglass.sources._table import chunk_rows
from hourglass.sources._width import check_width

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
ARRAYS = (".npy", ".npz", ".gz")
WALLS = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


class ImageFolder:
    """All PNG, JPEG and TIFF files below a folder, sorted by path.

    Attributes:
        skipped: Why images were left out in the last pass: reason -> how many.
    """

    def __init__(self, folder: Path, options: Preprocess) -> None:
        self._folder, self._image = folder, options.image
        self._skip = options.on_bad_row == "skip"
        self._warned = False
        self.skipped: dict[str, int] = {}
        if options.label:
            raise ConfigError(
                f"params.yaml: preprocess.label: {options.label!r} names nothing in a folder of "
                "images: the subfolders are their labels; set it to ''"
            )

    @cached_property
    def _files(self) -> list[Path]:
        files, others = images_below(self._folder)
        if not files:
            raise _nothing(self._folder, others)
        if others:
            log.info(
                "%s: left out, no PNG, JPEG or TIFF: %s: %s",
                *(self._folder, counted(len(others), "file"), listed([p.name for p in others])),
            )
        return files

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the subfolders that hold images; () if none does."""
        depths = [file.relative_to(self._folder).parts for file in self._files]
        loose = [file for file, parts in zip(self._files, depths, strict=True) if len(parts) == 1]
        if loose and len(loose) < len(depths):
            log.warning(
                "%s: no label for %s beside the folders of the classes, the first is %s",
                *(self._folder, counted(len(loose), "image"), loose[0].name),
            )
        return tuple(dict.fromkeys(parts[0] for parts in depths if len(parts) > 1))

    @cached_property
    def _first(self) -> tuple[Path, Pixels]:
        """The first image that can be read, before resizing: it sets size and bit depth."""
        faults = []
        for file in self._files:
            try:
                return file, decode(file, self._image.colour)
            except UnreadableError as error:
                if not self._skip:
                    raise
                faults.append(error)
        raise DataError(
            f"{self._folder}: none of its {len(self._files)} images can be used; {faults[0]}"
        )

    @property
    def count(self) -> int:
        """Files."""
        return len(self._files)

    @cached_property
    def layout(self) -> Layout:
        """See `Source.layout`."""
        _, pixels = self._first
        height, width = self._image.size or pixels.shape[:2]
        shape = (height, width, pixels.shape[2])
        check_width(
            shape,
            f"an image of {self._folder}",
            "set params.yaml: preprocess.image.size to a smaller [height, width]",
        )
        return Layout(
            names=pixel_names(shape),
            dropped={},
            kind=Kind.CONTINUOUS,
            bounds=WALLS[pixels.dtype.name],
            shape=shape,
            dtype=pixels.dtype,
        )

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        width = len(self.layout.names)
        codes = {name: code for code, name in enumerate(self._classes)}
        skipped: Counter[str] = Counter()
        numbers: list[int] = []
        images: list[NDArray[Any]] = []
        for number, file in enumerate(self._files):
            try:
                images.append(self._row(file))
            except UnreadableError as error:
                if not self._skip:
                    raise
                self._warn(error)
                skipped[error.reason] += 1
                continue
            numbers.append(number)
            if len(images) == chunk_rows(width):
                yield self._chunk(images, numbers, codes)
                numbers, images = [], []
        if images:
            yield self._chunk(images, numbers, codes)
        self._warned = True
        self.skipped = dict(skipped)

    def levels(self) -> dict[str, tuple[str, ...]]:
        """See `Source.levels`."""
        return {LABEL: self._classes} if self._classes else {}

    def place(self, row: int) -> str:
        """The file."""
        return f"{self._files[row]}"

    def _chunk(self, images: list[NDArray[Any]], rows: list[int], codes: dict[str, int]) -> Chunk:
        label_N = None
        if codes:
            parts = [self._files[row].relative_to(self._folder).parts for row in rows]
            label_N = np.array([codes[p[0]] if len(p) > 1 else np.nan for p in parts], np.float64)
        return Chunk(np.stack(images), np.array(rows, np.int64), label_N=label_N)

    def _row(self, file: Path) -> NDArray[Any]:
        """The values of one image, shape (F,)."""
        pixels = decode(file, self._image.colour)
        first, model = self._first
        if pixels.dtype != model.dtype:
            raise DataError(
                f"{file} has {_bits(pixels)} bits a pixel, but {first} has {_bits(model)}; "
                "save all images with the same"
            )
        if self._image.size:
            pixels = resize(pixels, self._image.size)
        elif pixels.shape != model.shape:
            raise DataError(
                f"{file} is {_size(pixels)} pixels, but {first} is {_size(model)} (height x "
                "width); name the size that all are to get in params.yaml: preprocess.image.size: "
                f"[{model.shape[0]}, {model.shape[1]}]"
            )
        return pixels.ravel()

    def _warn(self, error: UnreadableError) -> None:
        """Names each file that is left out, in the first pass only."""
        if not self._warned:
            log.warning("left out: %s", error)


def images_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images and other files below the folder, each sorted by path; nothing that is hidden.

    Links to folders are followed once.
    """
    files: list[Path] = []
    seen: set[str] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        folders[:] = [] if real in seen else sorted(n for n in folders if n[0] != ".")
        files += [Path(top, name) for name in names if name[0] != "." and real not in seen]
        seen.add(real)
    files.sort(key=lambda file: file.relative_to(folder).parts)
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    return images, [f for f in files if f.suffix.lower() not in SUFFIXES and f.name != "README.md"]


def _nothing(folder: Path, others: list[Path]) -> DataError:
    """There is no image."""
    arrays = [file for file in others if file.suffix.lower() in ARRAYS or "-ubyte" in file.name]
    remedy = (
        f"name the array itself, such as params.yaml: preprocess.path: {arrays[0]}"
        if arrays
        else "put PNG, JPEG or TIFF files there, those of one class in one subfolder, or name "
        "another folder or an NPY, NPZ or IDX file in params.yaml: preprocess.path"
    )
    found = f"it holds {listed([p.name for p in others])}" if others else "it holds no file"
    return DataError(f"{folder} holds no image ({found}); {remedy}")


def _bits(pixels: Pixels) -> int:
    return pixels.dtype.itemsize * 8


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]}"
