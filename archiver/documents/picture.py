"""Read pictures in the document worker.  No other module imports Pillow."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageOps

from archiver.documents.document import ExtractedDocument

#: The greatest width and height of a thumbnail.
_THUMBNAIL_PIXELS = 96
#: The JPEG quality, from 1 to 95. At this quality a thumbnail takes two or three kilobytes.
_THUMBNAIL_QUALITY = 60


def read_picture(path: str) -> ExtractedDocument:
    """Return the size of a picture in pixels, and a thumbnail (JPEG in base64); the result has no lines.

    Raises exceptions of any class for a damaged picture, and Pillow's DecompressionBombError for a picture with
    too many pixels.
    """
    with Image.open(path) as picture:
        width, height = picture.size
        # The JPEG decoder then scales the picture down while decoding, which saves memory and time.
        picture.draft("RGB", (_THUMBNAIL_PIXELS * 2, _THUMBNAIL_PIXELS * 2))
        thumbnail = ImageOps.exif_transpose(picture).convert("RGB")
        thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        jpeg_buffer = io.BytesIO()
        thumbnail.save(jpeg_buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    thumbnail_base64 = base64.b64encode(jpeg_buffer.getvalue()).decode("ascii")
    return ExtractedDocument({"width": width, "height": height, "thumbnail": thumbnail_base64}, iter(()))
