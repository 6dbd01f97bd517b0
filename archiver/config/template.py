"""Render the text of a new ``archiver.toml`` from the table of settings, and write the file."""

from __future__ import annotations

import errno
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from archiver.config.schema import Setting, setting_values
from archiver.config.settings import TABLE_SUMMARIES, Config, settings_by_table
from archiver.errors import ConfigError, LazyMessage

#: Tables whose settings are all written into a new file, because people change them most. In the other tables, a
#: setting with its default is only a comment.
_WRITTEN_TABLES = ("watch", "retention")
#: Headings of tables that differ from the name of the table.
_TABLE_HEADINGS = {"filings": 'filings."NAME"'}
_COMMENT_WIDTH = 110
#: Characters that TOML does not allow in a text are those below the space, and DEL.
_SPACE, _DEL = 0x20, 0x7F  # code points
#: Errors of network filesystems and of systems without /proc, where a file cannot be written before it has a name.
_UNNAMED_FILE_ERRORS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def write_new_config(path: Path, text: str) -> None:
    """Write ``text`` to a new file, durably, and completely or not at all.

    Only on a filesystem without unnamed files, a killed process may leave an incomplete file.

    Raises OSError if the file cannot be written, and FileExistsError if ``path`` exists; that file stays
    unchanged.
    """
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            # The file has no name until it is complete, so a killed process leaves nothing behind.
            file_fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with open(file_fd, "w", encoding="utf-8") as new_file:
                _write_durably(new_file, text)
                # Without src_dir_fd, Python calls link(2), which does not follow the link in /proc.
                os.link(f"/proc/self/fd/{file_fd}", path, src_dir_fd=folder_fd, follow_symlinks=True)
        except OSError as error:
            if error.errno not in _UNNAMED_FILE_ERRORS:
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
    """Remove the file at ``path`` if the block raises, and raise again."""
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _write_durably(new_file: TextIO, text: str) -> None:
    """Write the text, and wait until it is on disk."""
    # The umask may let a group write, and such a file would not be trusted.
    os.fchmod(new_file.fileno(), 0o644)
    new_file.write(text)
    new_file.flush()
    os.fsync(new_file.fileno())


def render_config(config: Config) -> str:
    """Return the text of a new ``archiver.toml`` with the settings of ``config``, and with comments.

    Each setting has its help text above it. A setting that is not written appears as a comment with an example;
    its line begins with "#" and no space, so that removing the "#" activates it. ``config`` must have no settings
    of single filings; there are none when an archive is created.

    Raises ConfigError if a name is not UTF-8, and so cannot be written in TOML.
    """
    value_by_key = {
        setting_value.full_key: setting_value.setting.value_type.to_toml(setting_value.value)
        for setting_value in setting_values(config)
    }
    text_lines = ["# Settings of this archive. Every key but the two paths may be left out."]
    for table, settings in settings_by_table().items():
        written_keys = {
            setting.key
            for setting in settings
            if table in _WRITTEN_TABLES or value_by_key.get(setting.key, setting.default) != setting.default
        }
        heading = f"{'' if written_keys else '#'}[{_TABLE_HEADINGS.get(table, table)}]"
        text_lines += ["", *_comment_lines(TABLE_SUMMARIES[table]), heading]
        for setting in settings:
            text_lines += _comment_lines(setting.summary)
            if setting.key in written_keys:
                text_lines += _assignment_lines(setting, value_by_key[setting.key])
            else:
                text_lines += [f"#{line}" for line in _assignment_lines(setting, setting.example)]
    return "\n".join([*text_lines, ""])


def _assignment_lines(setting: Setting, value: Any) -> list[str]:
    """Return a line KEY = VALUE for a setting, or a line for each key if the setting is a whole table.

    ``value`` is as the file holds it. Raises ConfigError for a text that is not UTF-8.
    """
    value_by_key = value if setting.value_type.members else {setting.keys_in_table[0]: value}
    return [f"{key} = {_format_toml(key_value)}" for key, key_value in value_by_key.items()]


def _comment_lines(text: LazyMessage) -> list[str]:
    """Return the help text as comment lines of at most ``_COMMENT_WIDTH`` characters after the "#"."""
    lines = textwrap.wrap(str(text), _COMMENT_WIDTH, break_on_hyphens=False, break_long_words=False)
    return [f"# {line}" for line in lines]


def _format_toml(value: object) -> str:
    """Return a text, bool, number, list or dict as TOML. Raises ConfigError if a text in it is not UTF-8."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _format_toml_string(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_format_toml, value))}]"
    if isinstance(value, dict):
        members = [f"{_format_toml_string(key)} = {_format_toml(item)}" for key, item in value.items()]
        return f"{{ {', '.join(members)} }}"
    # Python and TOML write numbers alike.
    return str(value)


def _format_toml_string(text: str) -> str:
    """Return ``text`` quoted as a single-line TOML string. Raises ConfigError for non-UTF-8 text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            "The folder name {path} is not UTF-8, as a configuration file requires. Nothing was changed. Use "
            "another path to the folder, in UTF-8.",
            path=text,
        ) from None
    escaped_text = "".join(
        f"\\u{ord(char):04x}" if ord(char) < _SPACE or ord(char) == _DEL else char
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped_text}"'
