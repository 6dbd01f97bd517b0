"""Render the systemd unit for one configuration; ``deploy/`` shows the same text."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from archiver.errors import ConfigError


def render(command: Path, config: Path, archive: Path, watch: Path, user: str, writable: list[Path]) -> str:
    """Return the text of the unit.

    ``writable``: further folders that the service may write if they exist, such as that of the metrics.

    Raises ConfigError for a path that a unit file cannot hold.
    """
    template = resources.files("archiver.daemon").joinpath("archiver.service").read_text("utf-8")
    return template.format(
        command=_argument(command),
        config=_argument(config),
        writes=" ".join([_quoted(archive), *(_quoted(path, "-") for path in writable)]),
        # Optional: the service itself waits for a folder that is missing.
        watch=_quoted(watch, "-"),
        mounts=" ".join(_quoted(path) for path in (archive, watch)),
        user=user,
    )


def _quoted(path: Path, prefix: str = "") -> str:
    """Quote a path by systemd.syntax(7), with % and backslashes doubled; raises ConfigError."""
    text = prefix + os.fspath(path)
    if not text.isprintable():
        raise ConfigError(
            "The path {path} cannot stand in a systemd unit. Nothing was written. Reach it by another name.",
            path=path,
        )
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(char in text for char in " \"'\\;") else escaped


def _argument(path: Path) -> str:
    """Quote a path in a command line, where $ begins a variable."""
    return _quoted(path).replace("$", "$$")
