"""Images as rows: a folder of files, or one array in an NPY, NPZ or IDX file."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from hourglass.errors import ConfigError
from hourglass.paths import named
from hourglass.sources import Chunk, Layout, Source
from hourglass.sources._image_array import ImageArray
from hourglass.sources._image_folder import ImageFolder

_COLUMNS = "images have no columns that it could name"
_NOT_FOR_IMAGES = dict.fromkeys(("columns", "drop", "group", "time", "weight"), _COLUMNS) | {
    "missing_values": "pixels are numbers, and their gaps NaN"
}


class Images(Source):
    """Reads `path`, a folder or a file; each image is a row, each value of a pixel a column.

    Images are brought to preprocess.image.colour and, if it is given, preprocess.image.size.
    """

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"images: {self.path}"

    def layout(self) -> Layout:
        """See `Source.layout`.

        Raises:
            ConfigError: params.yaml says something that has no meaning for images.
        """
        return self._inner.layout

    def rows(self) -> int | None:
        """See `Source.rows`."""
        return self._inner.count

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        yield from self._inner.chunks()
        if isinstance(self._inner, ImageFolder):
            self.skipped = self._inner.skipped

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """See `Source.levels`: classes by the names of their folders, or labels that are texts."""
        return self._inner.levels()

    def place(self, row: int) -> str:
        """See `Source.place`: the file of the image, or its number in the array."""
        return self._inner.place(row)

    @cached_property
    def _inner(self) -> ImageFolder | ImageArray:
        for key, why in _NOT_FOR_IMAGES.items():
            value = getattr(self.options, key)
            if value:
                empty = "''" if isinstance(value, str) else "[]"
                shown = value if isinstance(value, str) else list(value)
                raise ConfigError(
                    f"params.yaml: preprocess.{key}: {why}, got {shown!r}; set it to {empty}"
                )
        if named(self.path, "params.yaml: preprocess.path").is_dir():
            return ImageFolder(self.path, self.options)
        return ImageArray(self.path, self.options.image, self.options.label)


SOURCE = Images
