"""What `model("photo.png")` returns: pixels in full depth, and the file that `i2i translate` writes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from i2i.errors import ImageError
from i2i.images import FORMATS, Array, from_unit, suffix_of, to_labels, to_unit, write_file
from i2i.images.encode import to_pil
from i2i.images.metadata import fitting_profile
from i2i.runtime.described import marked, nodata_of
from i2i.runtime.picture_options import PictureOptions, output_dtype
from i2i.runtime.pictures import DecodedPicture, encode, finished, in_values

if TYPE_CHECKING:
    from i2i.runtime.translator import Translator


class Translated:
    """One translated picture file; `numpy.asarray` takes it, and notebooks show it."""

    def __init__(self, translator: "Translator", picture: DecodedPicture, options: PictureOptions):
        """Translate the first frame of a picture in its own depth."""
        self._translator, self._picture, self._options = translator, picture, options
        frame, outputs = picture.inputs[0], translator.generator.outputs
        self._output = translator.translate(frame, name=str(picture.path))
        (made,) = finished(picture, [self._output], translator.generator, options.alpha)
        scale, bands = options.scale, bool(options.bands)
        whole = in_values(made, scale, bands, None, "NPY") if scale else made
        if outputs and outputs.values:
            whole = to_labels(made, outputs.values)
        nodata = nodata_of(picture, translator.generator, picture.kind)
        self.array: Array = whole if nodata is None else marked(whole, picture.blanks[0], nodata)
        """(H, W, C) as `i2i translate` writes it, alpha included: uint8, uint16, or float32 in [0, 1]; values as in
        files where the model knows their scale."""

    @property
    def image(self) -> Image.Image:
        """The same pixels as a PIL image of 8 bits, with the colour profile."""
        array = self.array if self.array.dtype == np.uint8 else from_unit(to_unit(self.array))
        return pil_image(array, self._picture.extras.icc)

    def save(
        self,
        path: str | Path,
        quality: int | Literal["lossless"] | None = None,
        bit_depth: Literal[8, 16, 32] | None = None,
    ) -> None:
        """Write what `i2i translate INPUT -o PATH` writes, in the format of the suffix; replaces a file that exists.

        quality, bit_depth: as in PictureOptions. Raises ImageError and UsageError.
        """
        path = Path(path)
        kind = suffix_of(path).lower()
        if kind not in FORMATS:
            raise ImageError(f"{path} has no suffix of a format that i2i writes. It writes {', '.join(FORMATS)}.")
        options = replace(self._options, quality=quality, bit_depth=bit_depth)
        frame, output = self._picture.inputs[0], self._output
        dtype = output_dtype(frame, kind, options)
        if output.dtype != dtype:  # rounded once, as by the command
            output = self._translator.translate(frame, dtype, str(self._picture.path))
        content = encode(self._picture, [output], kind, self._translator.generator, options)
        try:
            write_file(path, content)
        except OSError as error:
            raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return `array`, for numpy."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        shown = self.image._repr_png_()
        return bytes(shown or b"")

    def __repr__(self) -> str:
        height, width, channels = self.array.shape
        return f"<Translated {self._picture.path.name}: {width}x{height}, {channels} channels, {self.array.dtype}>"


def pil_image(array: Array, icc: bytes | None) -> Image.Image:
    """Return (H, W, C) uint8, or (H, W, 1) uint16, as a PIL image, with the colour profile if it fits."""
    made = to_pil(array)
    if profile := fitting_profile(icc, array.shape[2]):
        made.info["icc_profile"] = profile
    return made
