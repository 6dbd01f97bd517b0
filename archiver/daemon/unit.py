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
    unit_template = resources.files("archiver.daemon").joinpath("archiver.service").read_text("utf-8")
    return unit_template.format(
        command=_quote_argument(command),
        config=_quote_argument(config),
        writes=" ".join([_quote_path(archive), *(_quote_path(path, "-") for path in writable)]),
        # Optional: the service itself waits for a folder that is missing.
        watch=_quote_path(watch, "-"),
        mounts=" ".join(_quote_path(path) for path in (archive, watch)),
        user=user,
    )


def _quote_path(path: Path, prefix: str = "") -> str:
    """Quote a path by systemd.syntax(7), with % and backslashes doubled; raises ConfigError."""
    prefixed_path = prefix + os.fspath(path)
    if not prefixed_path.isprintable():
        raise ConfigError(
            "The path {path} cannot stand in a systemd unit. Nothing was written. Reach it by another name.",
            path=path,
        )
    escaped_path = prefixed_path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped_path}"' if any(char in prefixed_path for char in " \"'\\;") else escaped_path


def _quote_argument(path: Path) -> str:
    """Quote a path in a command line, where $ begins a variable."""
    return _quote_path(path).replace("$", "$$")
