"""Write a new ``archiver.toml``, with text made from the table of settings."""

from __future__ import annotations

import errno
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from archiver.config.schema import Setting, values_of
from archiver.config.settings import TABLES, Config, settings_by_table
from archiver.errors import ConfigError, LazyMessage

#: Tables whose settings all stand in a new file, for people to see and change; of others, only what is no default.
_WRITTEN_TABLES = ("watch", "retention")
#: Tables whose heading is not the name alone.
_TABLE_HEADS = {"filings": 'filings."NAME"'}
_COMMENT_WIDTH = 110
#: Errors of network filesystems, and of systems without /proc: there, a file needs a name while it is written.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def write_new(path: Path, text: str) -> None:
    """Write a new file, complete or not at all; raises OSError, also if ``path`` exists."""
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            # Without a name until the file is complete: a killed process leaves nothing.
            file_fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with open(file_fd, "w", encoding="utf-8") as new_file:
                _write_durably(new_file, text)
                # With a folder, or Python calls link(2), which follows no link.
                os.link(f"/proc/self/fd/{file_fd}", path, src_dir_fd=folder_fd, follow_symlinks=True)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from None
            new_file = open(path, "x", encoding="utf-8")  # noqa: SIM115 - a file that is there already is not ours to remove
            with _remove_on_failure(path), new_file:
                _write_durably(new_file, text)
        with _remove_on_failure(path):
            os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


@contextmanager
def _remove_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _write_durably(new_file: TextIO, text: str) -> None:
    # Whatever the umask: a file that others may write would not be used.
    os.fchmod(new_file.fileno(), 0o644)
    new_file.write(text)
    new_file.flush()
    os.fsync(new_file.fileno())


def render(config: Config) -> str:
    """Return the text of a new ``archiver.toml``: the settings of ``config``, and all others as comments.

    Settings of single filings are left out; there are none when an archive is made.

    A comment that holds a setting begins with a bare "#": without that, the setting is in force.

    Raises ConfigError for names that TOML cannot hold.
    """
    value_by_key = {key: setting.value_type.to_toml(value) for key, setting, value in values_of(config)}
    text_lines = ["# Settings of this archive. Every key but the two paths may be left out."]
    for table, settings in settings_by_table().items():
        written_keys = {
            setting.key
            for setting in settings
            if table in _WRITTEN_TABLES or value_by_key.get(setting.key, setting.default) != setting.default
        }
        heading = f"{'' if written_keys else '#'}[{_TABLE_HEADS.get(table, table)}]"
        text_lines += ["", *_comment_lines(TABLES[table]), heading]
        for setting in settings:
            text_lines += _comment_lines(setting.summary)
            if setting.key in written_keys:
                text_lines += _assignment_lines(setting, value_by_key[setting.key])
            else:
                text_lines += [f"#{line}" for line in _assignment_lines(setting, setting.example)]
    return "\n".join([*text_lines, ""])


def _assignment_lines(setting: Setting, value: Any) -> list[str]:
    """Return the lines for a setting and a value: a single line, or a line for each key of a table."""
    value_by_name = value if setting.value_type.members else {setting.names[0]: value}
    return [f"{name} = {_toml_value(item)}" for name, item in value_by_name.items()]


def _comment_lines(text: LazyMessage) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(str(text), _COMMENT_WIDTH, break_on_hyphens=False)]


def _toml_value(value: object) -> str:
    """Return a value in TOML; raises ConfigError for a name in other bytes than UTF-8."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml_string(key)} = {_toml_value(item)}' for key, item in value.items())} }}"
    return str(value)


def _toml_string(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            "The folder name {path} is not UTF-8, which a configuration file must be. "
            "Nothing was changed. Reach the folder by another name.",
            path=text,
        ) from None
    escaped_text = "".join(
        f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped_text}"'
