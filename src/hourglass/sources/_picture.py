"""Reads one image file, and brings images to one colour and one size.

Shapes: H height, W width, C channels, last.
"""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from hourglass.errors import DataError

Pixels = NDArray[Any]  # integers or floats
Colour = Literal["grey", "rgb"]

FORMATS = ("PNG", "JPEG", "TIFF")
UNREADABLE = "could not be read as an image"
# What Pillow's readers raise on damaged files.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError),
    *(struct.error, zlib.error),
)
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_DEEP = ("I", "F")  # modes of 32 bits
# ITU-R BT.601 luma in 65536ths, as Pillow computes it.
_LUMA = (19595, 38470, 7471)


class UnreadableError(DataError):
    """One image can't be used.

    Args:
        file: It.
        reason: Short, the same for all files with this fault.
        cause: What was found.
    """

    def __init__(self, file: Path, reason: str, cause: str) -> None:
        self.reason, self.cause = reason, cause
        super().__init__(
            f"{file} {reason}: {cause}; mend or remove it, or leave such files out (params.yaml: "
            "preprocess.on_bad_row: skip)"
        )


def decode(file: Path, colour: Colour) -> Pixels:
    """The image upright (EXIF) and in `colour`, transparent parts over white. Shape (H, W, C).

    Returns:
        uint8, or uint16 of a grey image with 16 bits.

    Raises:
        UnreadableError: it is no whole PNG, JPEG or TIFF file, has too many pixels, several pages,
            or a bit depth that would be cut.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                _refuse(image, file)
                return _pixels(ImageOps.exif_transpose(image), colour)
    except UnreadableError:
        raise
    except _BOMBS:
        raise UnreadableError(
            file, "has too many pixels", f"{Image.MAX_IMAGE_PIXELS} are allowed"
        ) from None
    except UnidentifiedImageError:
        size = file.stat().st_size
        cause = f"its {size} bytes are no PNG, JPEG or TIFF" if size else "it is empty"
        raise UnreadableError(file, UNREADABLE, cause) from None
    except _BROKEN as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(file, UNREADABLE, cause) from None


def _refuse(image: ImageFile.ImageFile, file: Path) -> None:
    """What Pillow would read in part only, without a word."""
    pages = getattr(image, "n_frames", 1)
    if image.format == "TIFF" and pages > 1:
        cause = f"{pages} pages, of which only the first would be read; save each as a file"
        raise UnreadableError(file, "holds several pages", cause)
    if image.mode in _DEEP:
        raise UnreadableError(
            file,
            "has 32 bits a pixel",
            "PNG, JPEG and TIFF are read with 8 bits, or grey with 16; save an NPY array instead",
        )
    if ";16" in _raw_mode(image) and not image.mode.startswith("I;16"):
        raise UnreadableError(
            file,
            "has 16 bits a colour",
            "they would be cut to 8; save it with 8 bits, in grey, or all images as an NPY array",
        )


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How pixels lie in the file, such as "RGB;16B"."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _pixels(image: Image.Image, colour: Colour) -> Pixels:
    if image.mode.startswith("I;16"):
        return recolour(np.array(image, dtype=np.uint16)[..., None], colour)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    pixels = np.array(image.convert("L" if colour == "grey" else "RGB"))
    return pixels[..., None] if colour == "grey" else pixels


def channels_in(colour: Colour, channels: int) -> int:
    """Channels after `recolour`."""
    return {"grey": 1, "rgb": 3}[colour] if channels in (1, 3) else channels


def recolour(pixels_C: Pixels, colour: Colour) -> Pixels:
    """Images of 1 or 3 channels in `colour`, others as they are. Shape (..., C).

    Grey is luma by ITU-R BT.601, Y = 0.299 R + 0.587 G + 0.114 B, of integers rounded.
    """
    channels = pixels_C.shape[-1]
    if channels == 1 and colour == "rgb":
        return np.repeat(pixels_C, 3, axis=-1)
    if channels != 3 or colour == "rgb":
        return pixels_C
    if pixels_C.dtype.kind == "f":
        weights = np.array([0.299, 0.587, 0.114], dtype=pixels_C.dtype)
        grey: Pixels = (pixels_C * weights).sum(axis=-1, keepdims=True)
        return grey
    luma = np.full(pixels_C.shape[:-1], 1 << 15, dtype=np.int64)  # a half, to round
    for channel, weight in enumerate(_LUMA):
        luma += pixels_C[..., channel].astype(np.int64) * weight
    return (luma >> 16).astype(pixels_C.dtype)[..., None]


def resize(pixels_HWC: Pixels, size: tuple[int, int]) -> Pixels:
    """The image in another size, (H', W', C), by a triangle filter that averages when it shrinks.

    Integers of up to 32 bits stay integers, rounded; floats are computed in float32.
    """
    if pixels_HWC.shape[:2] == size:
        return pixels_HWC
    dtype = pixels_HWC.dtype
    within = np.uint8 if dtype == np.uint8 else np.int32 if dtype.kind in "iu" else np.float32
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels_HWC[..., c], dtype=within)).resize(
                (size[1], size[0]), Image.Resampling.BILINEAR
            )
        )
        for c in range(pixels_HWC.shape[-1])
    ]
    return np.stack(planes, axis=-1).astype(dtype)


def pixel_names(shape_HWC: tuple[int, int, int]) -> tuple[str, ...]:
    """Names in row-major order: "0,0" of one channel, "0,0,r" of three, "0,0,0" of others."""
    height, width, channels = shape_HWC
    marks = {1: ("",), 3: (",r", ",g", ",b")}.get(channels)
    marks = marks or tuple(f",{c}" for c in range(channels))
    return tuple(f"{h},{w}{mark}" for h in range(height) for w in range(width) for mark in marks)
