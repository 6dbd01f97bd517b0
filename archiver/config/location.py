"""Find the configuration file, and read the text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archiver.config.owner import open_found_file
from archiver.errors import ConfigError, StorageError
from archiver.path_existence import is_there

#: A configuration that nobody named is looked for here first: a folder may have an archive of its own.
HERE = Path("archiver.toml")
_SYSTEM_FILE = Path("/etc/archiver/archiver.toml")


def find_config_file(explicit: str | None, environment: Mapping[str, str]) -> Path:
    """Return the configuration file in force.

    Raises ConfigError if none of the usual places has one, and StorageError if one of them may not be looked
    at: a file there would be in force.
    """
    if explicit:
        return Path(explicit)
    if named_file := environment.get("ARCHIVER_CONFIG"):
        return Path(named_file)
    for usual_file in (HERE, _SYSTEM_FILE):
        try:
            if _has_entry(usual_file):
                return usual_file
        except OSError as error:
            raise unreadable_config(usual_file, error) from None
    raise ConfigError(
        "No archiver.toml was found in this folder or in /etc/archiver. Nothing was changed. "
        "Name it with --config FILE, or make an archive with: archiver init --archive DIR --watch DIR"
    )


def _has_entry(path: Path) -> bool:
    try:
        return is_there(path)
    except OSError:
        # In a folder that everybody may write the kernel follows nobody else's link (protected_symlinks, proc(5)).
        # Such a link counts as an entry all the same: opening it decides by its owner.
        if is_there(path, follow_links=False):
            return True
        raise


def read_text(source: Path, *, is_found: bool) -> str:
    """Return the text of ``source``; ``is_found``: named by nobody, so the owner has to be trusted.

    Raises ConfigError for a missing or distrusted file, and for one that is no text; StorageError if the caller
    may not read the file.
    """
    try:
        if is_found:
            found_file = open_found_file(source)
            found_file.check_trust()
            file_bytes = found_file.data
        else:
            file_bytes = source.read_bytes()
        return file_bytes.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "The configuration file {path} does not exist. Nothing was changed. "
            "Check the name, or make one with: archiver init",
            path=source,
        ) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise ConfigError(
            "The configuration file {path} cannot be read ({reason}). Nothing was changed. "
            "It must be a readable UTF-8 text file.",
            path=source,
            reason=error,
        ) from None
    except OSError as error:
        raise unreadable_config(source, error) from None


def unreadable_config(path: Path, error: OSError) -> StorageError:
    """Return the error for a configuration kept from the caller by the disk or a permission."""
    return StorageError(
        "The configuration file {path} cannot be read ({reason}). Nothing was changed. Run this as a user who may "
        "read it, or mend the permissions of the file and of its folders.",
        path=path,
        reason=error.strerror,
    )
