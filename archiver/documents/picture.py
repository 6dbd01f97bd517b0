"""Read pictures; the only module that imports Pillow.  Runs in the document worker."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageOps

_THUMBNAIL_PIXELS = 96
#: JPEG quality at which a thumbnail takes two or three kilobytes.
_THUMBNAIL_QUALITY = 60


def read_picture(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Return fields of a Document: size in pixels and a thumbnail; no lines.

    Raises any exception for a damaged picture, also Pillow's refusal of one with too many pixels.
    """
    with Image.open(path) as picture:
        width, height = picture.size
        picture.draft("RGB", (_THUMBNAIL_PIXELS * 2, _THUMBNAIL_PIXELS * 2))
        thumbnail = ImageOps.exif_transpose(picture).convert("RGB")
        thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        jpeg = io.BytesIO()
        thumbnail.save(jpeg, "JPEG", quality=_THUMBNAIL_QUALITY)
    fields = {"width": width, "height": height, "thumbnail": base64.b64encode(jpeg.getvalue()).decode("ascii")}
    return fields, iter(())
