"""Pictures; the only module that imports Pillow.  Runs in the limited child."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageOps

_THUMBNAIL_PIXELS = 96
_QUALITY = 60


def read(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    """Its size in pixels, and a small copy; Pillow refuses bombs of pixels by itself."""
    with Image.open(path) as picture:
        width, height = picture.size
        picture.draft("RGB", (_THUMBNAIL_PIXELS * 2, _THUMBNAIL_PIXELS * 2))
        small = ImageOps.exif_transpose(picture).convert("RGB")
        small.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=_QUALITY)
    facts = {"width": width, "height": height, "thumbnail": base64.b64encode(out.getvalue()).decode("ascii")}
    return facts, iter(())
