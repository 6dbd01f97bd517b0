"""Find the configuration file, and read its text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from archiver.config.owner import open_found_file
from archiver.errors import ConfigError, StorageError
from archiver.path_existence import is_there

#: The first place to search if the user did not name a file: a folder may contain the file of its own archive.
CURRENT_FOLDER_FILE = Path("archiver.toml")
_SYSTEM_FILE = Path("/etc/archiver/archiver.toml")


class ConfigFileLocation(NamedTuple):
    """The path of the configuration file, and whether its owner must be checked."""

    path: Path
    #: True for a file in the current folder that the user did not name: its owner must be a trusted user.
    must_be_trusted: bool


def find_config_file(option_value: str | None, environment: Mapping[str, str]) -> ConfigFileLocation:
    """Return the location of the file that the user named, or else of the first file in the usual places.

    ``option_value`` is the value of ``--config``, None without the option. The option takes precedence over
    ``ARCHIVER_CONFIG`` in ``environment``. The existence of a named file is not checked.

    Raises ConfigError if none of the usual places has a file, and StorageError if one of them cannot be examined:
    a file there would take precedence over the later places.
    """
    if option_value:
        return ConfigFileLocation(Path(option_value), must_be_trusted=False)
    if named_file := environment.get("ARCHIVER_CONFIG"):
        return ConfigFileLocation(Path(named_file), must_be_trusted=False)
    for usual_path in (CURRENT_FOLDER_FILE, _SYSTEM_FILE):
        try:
            if _has_entry(usual_path):
                return ConfigFileLocation(usual_path, must_be_trusted=usual_path == CURRENT_FOLDER_FILE)
        except OSError as error:
            raise unreadable_config_error(usual_path, error) from None
    raise ConfigError(
        "Cannot find archiver.toml in this folder or in /etc/archiver. Nothing was changed. Name the file with "
        "--config FILE. To create an archive, run: archiver init --archive DIR --watch DIR"
    )


def _has_entry(path: Path) -> bool:
    """Return True if anything exists at ``path``, even a link that must not be followed.

    Raises OSError if that cannot be known.
    """
    try:
        return is_there(path)
    except OSError:
        # In a folder that all users can write to, the kernel refuses to follow another user's link
        # (protected_symlinks in proc(5)). Such a link exists: the code that opens it checks who owns it.
        if is_there(path, follow_links=False):
            return True
        raise


def read_config_text(source: Path, *, must_be_trusted: bool) -> str:
    """Return the text of the configuration file ``source``.

    ``must_be_trusted`` is True for a file that the user did not name: its owner must be a trusted user.

    Raises ConfigError if the file is missing, not trusted or not UTF-8 text, and StorageError if it cannot be
    read.
    """
    try:
        if must_be_trusted:
            found_file = open_found_file(source)
            found_file.check_trust()
            file_bytes = found_file.data
        else:
            file_bytes = source.read_bytes()
        return file_bytes.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "The configuration file {path} does not exist. Nothing was changed. Check the name. To create one, "
            "run: archiver init",
            path=source,
        ) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise ConfigError(
            "Cannot read the configuration file {path} ({reason}). Nothing was changed. Name a UTF-8 text file.",
            path=source,
            reason=error,
        ) from None
    except OSError as error:
        raise unreadable_config_error(source, error) from None


def unreadable_config_error(path: Path, error: OSError) -> StorageError:
    """Return the StorageError to raise if the configuration file ``path`` cannot be read because of ``error``."""
    return StorageError(
        "Cannot read the configuration file {path} ({reason}). Nothing was changed. Run this as a user with read "
        "access, or fix the permissions of the file and the folders above.",
        path=path,
        reason=error.strerror,
    )
