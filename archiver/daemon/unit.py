"""Render the systemd unit for one configuration; ``deploy/`` shows the same text."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from archiver.errors import ConfigError

#: A prefix for a path, with which systemd accepts that the path is missing.
_OPTIONAL = "-"


def render_unit(
    program: Path,
    config_file: Path,
    archive_folder: Path,
    watched_folder: Path,
    user_name: str,
    writable_folders: list[Path],
) -> str:
    """Return the text of the unit that runs ``program`` with ``config_file``, as the user ``user_name``.

    The service may write the archive and those of ``writable_folders`` that exist, and only read
    ``watched_folder``.

    Raises ConfigError for a path that a unit file cannot hold.
    """
    unit_template = resources.files("archiver.daemon").joinpath("archiver.service").read_text("utf-8")
    writable_paths = [_quote_path(archive_folder), *(_quote_path(path, _OPTIONAL) for path in writable_folders)]
    return unit_template.format(
        command=_quote_argument(program),
        config=_quote_argument(config_file),
        writes=" ".join(writable_paths),
        # The service starts without the watched folder, and waits for it.
        watch=_quote_path(watched_folder, _OPTIONAL),
        mounts=" ".join(_quote_path(path) for path in (archive_folder, watched_folder)),
        user=user_name,
    )


def _quote_path(path: Path, prefix: str = "") -> str:
    """Return a path, with ``prefix`` before it, as a word of a unit file, by systemd.syntax(7).

    ``%`` is doubled, since it begins a specifier.  Raises ConfigError for a path with control characters, such as
    a line break, or other characters that cannot be printed.
    """
    prefixed_path = prefix + os.fspath(path)
    if not prefixed_path.isprintable():
        raise ConfigError(
            "A systemd unit cannot contain the path {path}. Nothing was changed. Use another path, without "
            "control characters.",
            path=path,
        )
    escaped_path = prefixed_path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    needs_quotes = any(special_char in prefixed_path for special_char in " \"'\\;")
    return f'"{escaped_path}"' if needs_quotes else escaped_path


def _quote_argument(path: Path) -> str:
    """Return a path as a word of a command line, with ``$`` doubled, since it begins a variable there.

    Raises ConfigError for a path that cannot be printed.
    """
    return _quote_path(path).replace("$", "$$")
