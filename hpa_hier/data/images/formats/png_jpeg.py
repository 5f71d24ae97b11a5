"""PNG and JPEG files: checked by Pillow, since OpenCV takes truncated files without a word."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from hpa_hier.data.images.formats.plain_png import decode_plain
from hpa_hier.data.images.kernels.switch import SWITCH
from hpa_hier.data.images.reader import MAX_PIXELS, Layout, UnreadableImage, check_bytes, check_pixels

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # from twice as many on, Pillow itself refuses to open a file
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # files between the two are refused by our own error
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "F")  # modes of Pillow
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the end mark with its checksum, which Pillow does not compare
_MOST_PIXELS_A_BYTE = 2000  # deflate packs at most 1,032 to one, and an empty JPEG takes two bits a block


class PngJpegReader:
    """Grey and RGB files of 8 or 16 bits; alpha is dropped."""

    def layout(self, path: Path) -> Layout:
        """Return one plane or three, by the header; what is wrong with a file shows when it is decoded."""
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                planes = 1 if image.mode in _GREY else 3
        except Exception:  # Pillow raises whatever the bytes lead to: OSError, SyntaxError, ValueError, …
            return Layout(planes=None, rgb=True)
        return Layout(planes, rgb=planes == 3)

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (1, H, W) grey or (3, H, W) RGB."""
        check_bytes(path)
        try:
            data = path.read_bytes()
            kernels = SWITCH.kernels
            plain = decode_plain(data, kernels) if kernels else None
            if plain is not None:
                return plain
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                width, height = image.size
                check_pixels(path, width, height)
                if width * height > _MOST_PIXELS_A_BYTE * len(data):
                    claim = f"{width} × {height} pixels in {len(data):,} bytes"
                    raise UnreadableImage(path, f"damaged: claims {claim}, which cannot hold them")
                if image.format == "JPEG":
                    return _decode_jpeg(path, image)
                began = time.thread_time()
                planes = _decode_png(path, data, image)
                SWITCH.spend(time.thread_time() - began)
                return planes
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            raise UnreadableImage(path, f"neither a PNG nor a JPEG header: it begins with {data[:8]!r}") from None
        except Image.DecompressionBombError:
            claim = f"claims over {2 * MAX_PIXELS:,} pixels"
            raise UnreadableImage(path, f"{claim}; at most {MAX_PIXELS:,} are read") from None
        except Exception as error:  # Pillow raises whatever the bytes lead to: OSError, SyntaxError, ValueError, …
            raise UnreadableImage(path, f"damaged or truncated: {error}") from None


def _decode_png(path: Path, data: bytes, image: ImageFile.ImageFile) -> np.ndarray:
    """Check every chunk to the end mark, then decode with OpenCV: Pillow makes 8 bits of 16-bit RGB."""
    mode = str(image.tile[0][3])  # such as "1", "L;4", "I;16B" or "RGB;16B"
    bits = mode if mode == "1" else mode.partition(";")[2]
    if bits in ("1", "2", "4"):
        raise UnreadableImage(path, f"{bits} bit{'s' if bits != '1' else ''} a channel; save it with 8 or 16")
    image.verify()
    if _PNG_END not in data:
        raise UnreadableImage(path, "damaged or truncated: the PNG has no whole end mark")
    planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.shape[:2] != image.size[::-1]:
        raise UnreadableImage(path, "damaged: it could not be decoded")
    if planes.ndim == 2:
        return planes[None]
    grey = image.mode in _GREY or mode.startswith("LA")  # with alpha, which OpenCV gives as blue, green, red and alpha
    return np.moveaxis(planes[..., :1] if grey or planes.shape[2] < 3 else planes[..., 2::-1], 2, 0)


def _decode_jpeg(path: Path, image: ImageFile.ImageFile) -> np.ndarray:
    if image.mode not in ("L", "RGB"):
        raise UnreadableImage(path, f"a JPEG of {image.mode} colours; grey (L) and RGB are read")
    pixels = np.asarray(image)  # decodes, and raises where the file ends too early
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
