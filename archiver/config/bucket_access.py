"""Settings of the replica: the way to the bucket."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from archiver.config.toml_document import TomlDocument

STYLES = ("auto", "path", "virtual")


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How the bucket is reached; which one it is, ``replica init`` journalled."""

    endpoint: str = ""
    region: str = ""
    style: str = "auto"
    #: A file of the owner's alone (0600), in the form of ~/.aws/credentials; None: the usual AWS chain.
    credentials: Path | None = None
    ca: Path | None = None
    proxy: str = ""
    #: MB a second, 0: no limit.
    bandwidth_mb: float = 0.0
    parallel: int = 8
    #: ``status`` warns when what is not replicated is older.
    alert_hours: float = 24.0


def access_of(document: TomlDocument) -> BucketAccess:
    """Read and validate; raises ConfigProblem."""
    style = _text(document, "style") or "auto"
    if style not in STYLES:
        raise document.problem("replica.style", 'must be "auto", "path" or "virtual"')
    endpoint = _text(document, "endpoint")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise document.problem("replica.endpoint", "must be an address that begins with http:// or https://")
    return BucketAccess(
        endpoint=endpoint,
        region=_text(document, "region"),
        style=style,
        credentials=_path(document, "credentials"),
        ca=_path(document, "ca"),
        proxy=_text(document, "proxy"),
        bandwidth_mb=document.number("replica", "bandwidth_mb", 0.0, 0.0),
        parallel=min(64, int(document.number("replica", "parallel", 8, 1))),
        alert_hours=document.number("replica", "alert_hours", 24.0, 0.01),
    )


def _text(document: TomlDocument, key: str) -> str:
    value = document.get("replica", key, "")
    if not isinstance(value, str):
        raise document.problem(f"replica.{key}", "must be a text")
    return value


def _path(document: TomlDocument, key: str) -> Path | None:
    value = _text(document, key)
    # The file is UTF-8 whatever the locale, and a path is its bytes.
    return Path(os.path.abspath(document.source.parent / os.fsdecode(value.encode("utf-8")))) if value else None
