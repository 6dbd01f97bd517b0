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
#: setting that has its default is only a comment, and so is a setting without a value in any table.
_WRITTEN_TABLES = ("watch", "retention")
#: Name of a table -> heading, for tables whose heading differs from the name.
_TABLE_HEADINGS = {"filings": 'filings."NAME"'}
_COMMENT_WIDTH = 110
#: Characters that TOML does not allow in a text are those below the space, and DEL.
_SPACE, _DEL = 0x20, 0x7F  # code points
#: Errors of filesystems without O_TMPFILE, and of systems without /proc. There, a new file needs a name at once.
_NO_TMPFILE_ERRNOS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def write_new_config(path: Path, config_text: str) -> None:
    """Write ``config_text`` to a new file, durably, and either completely or not at all.

    Only on a filesystem without O_TMPFILE, a process that is killed midway leaves an incomplete file behind.

    Raises OSError if the file cannot be written, and FileExistsError if ``path`` exists; an existing file stays
    unchanged.
    """
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            _write_then_name_file(path, config_text, folder_fd)
        except OSError as error:
            if error.errno not in _NO_TMPFILE_ERRNOS:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from None
            _write_named_file(path, config_text)
        with _remove_on_failure(path):
            os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _write_then_name_file(path: Path, config_text: str, folder_fd: int) -> None:
    """Write a file that gets its name once it is complete, so that a killed process leaves nothing behind.

    ``folder_fd`` is a descriptor of the file's folder. Raises OSError, with one of ``_NO_TMPFILE_ERRNOS`` if the
    filesystem or the system does not support this.
    """
    file_fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(file_fd, "w", encoding="utf-8") as new_file:
        _write_durably(new_file, config_text)
        # Without src_dir_fd, Python calls link(2), which does not follow the link in /proc.
        os.link(f"/proc/self/fd/{file_fd}", path, src_dir_fd=folder_fd, follow_symlinks=True)


def _write_named_file(path: Path, config_text: str) -> None:
    """Write a file under its name, and remove the file on failure.

    Raises OSError, and FileExistsError if ``path`` exists.
    """
    # Opened outside of _remove_on_failure: another process's file at the same path must not be removed.
    new_file = open(path, "x", encoding="utf-8")  # noqa: SIM115
    with _remove_on_failure(path), new_file:
        _write_durably(new_file, config_text)


@contextmanager
def _remove_on_failure(path: Path) -> Iterator[None]:
    """Remove the file at ``path`` if the block raises an exception, and pass the exception on."""
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _write_durably(new_file: TextIO, config_text: str) -> None:
    """Write ``config_text`` to an open file, and wait until it is on disk. Raises OSError."""
    # The umask may allow a group to write, but archiver.config.owner may not trust a file that a group can write.
    os.fchmod(new_file.fileno(), 0o644)
    new_file.write(config_text)
    new_file.flush()
    os.fsync(new_file.fileno())


def render_config(config: Config) -> str:
    """Return the text of a new ``archiver.toml`` with the settings of ``config``, and with comments.

    Each setting has its help text above it. A setting that is not written appears as a comment with an example:
    the line begins with "#" and no space, so that removing the "#" activates the setting. ``config`` must not have
    settings of single filings, because only the configuration of a new archive is rendered.

    Raises ConfigError for a name that is not UTF-8 and therefore cannot be written in TOML.
    """
    value_by_key = {
        setting_value.full_key: setting_value.setting.value_type.to_toml(setting_value.value)
        for setting_value in setting_values(config)
    }
    text_lines = ["# Settings of this archive. Every key but the two paths may be left out."]
    for table_name, settings in settings_by_table().items():
        written_keys = {
            setting.key
            for setting in settings
            if (table_name in _WRITTEN_TABLES and value_by_key[setting.key] is not None)
            or value_by_key.get(setting.key, setting.default) != setting.default
        }
        heading = f"{'' if written_keys else '#'}[{_TABLE_HEADINGS.get(table_name, table_name)}]"
        text_lines += ["", *_comment_lines(TABLE_SUMMARIES[table_name]), heading]
        for setting in settings:
            text_lines += _comment_lines(setting.summary)
            if setting.key in written_keys:
                text_lines += _assignment_lines(setting, value_by_key[setting.key])
            else:
                example_lines = _assignment_lines(setting, setting.example)
                text_lines += [f"#{example_line}" for example_line in example_lines]
    return "\n".join([*text_lines, ""])


def _assignment_lines(setting: Setting, toml_value: Any) -> list[str]:
    """Return a line KEY = VALUE for a setting, or a line for each key if the setting is a whole table.

    ``toml_value`` has the form of the file. Raises ConfigError for a text that is not UTF-8.
    """
    value_by_key = toml_value if setting.value_type.members else {setting.keys_in_table[0]: toml_value}
    return [f"{key} = {_format_toml(key_value)}" for key, key_value in value_by_key.items()]


def _comment_lines(text: LazyMessage) -> list[str]:
    """Return the help text as comment lines of at most ``_COMMENT_WIDTH`` characters after the "#"."""
    wrapped_lines = textwrap.wrap(str(text), _COMMENT_WIDTH, break_on_hyphens=False, break_long_words=False)
    return [f"# {wrapped_line}" for wrapped_line in wrapped_lines]


def _format_toml(toml_value: object) -> str:
    """Return a text, bool, number, list or dict as TOML. Raises ConfigError if a text in it is not UTF-8."""
    if isinstance(toml_value, bool):
        return "true" if toml_value else "false"
    if isinstance(toml_value, str):
        return _format_toml_string(toml_value)
    if isinstance(toml_value, list):
        return f"[{', '.join(map(_format_toml, toml_value))}]"
    if isinstance(toml_value, dict):
        members = [f"{_format_toml_string(key)} = {_format_toml(member)}" for key, member in toml_value.items()]
        return f"{{ {', '.join(members)} }}"
    # Python and TOML write numbers in the same way.
    return str(toml_value)


def _format_toml_string(plain_text: str) -> str:
    """Return ``plain_text`` quoted as a single-line TOML string. Raises ConfigError for non-UTF-8 text."""
    try:
        plain_text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            "The folder name {path} is not UTF-8, as a configuration file requires. Nothing was changed. Use "
            "another path to the folder, in UTF-8.",
            path=plain_text,
        ) from None
    escaped_text = "".join(
        f"\\u{ord(char):04x}" if ord(char) < _SPACE or ord(char) == _DEL else char
        for char in plain_text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped_text}"'
