"""Where the configuration lies, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archiver.config.owner import open_found
from archiver.errors import ConfigProblem, StorageProblem
from archiver.existence import is_there

#: Where a configuration is found that nobody named.
HERE = Path("archiver.toml")
_OF_THE_SERVER = Path("/etc/archiver/archiver.toml")


def find(explicit: str | None, environment: Mapping[str, str]) -> Path:
    """The configuration file in force.

    Raises ConfigProblem when none of the usual places has one, and StorageProblem where one of them may not
    be looked at: what lies there would be in force.
    """
    if explicit:
        return Path(explicit)
    if named := environment.get("ARCHIVER_CONFIG"):
        return Path(named)
    for place in (HERE, _OF_THE_SERVER):
        try:
            if _is_found(place):
                return place
        except OSError as error:
            raise unreadable(place, error) from None
    raise ConfigProblem(
        "No archiver.toml was found in this folder or in /etc/archiver. Nothing was changed. "
        "Name it with --config FILE, or make an archive with: archiver init --archive DIR --watch DIR"
    )


def _is_found(place: Path) -> bool:
    try:
        return is_there(place)
    except OSError:
        # In a folder that everybody may write the kernel follows nobody else's link (protected_symlinks, proc(5)).
        # Such a link is there all the same: whose it is, decides where it is opened.
        if is_there(place, follow_links=False):
            return True
        raise


def read_text(source: Path, *, is_found: bool) -> str:
    """The text of ``source``; ``is_found``: nobody named it, so it has to belong to somebody trusted.

    Raises ConfigProblem, and StorageProblem where it may not be read.
    """
    try:
        if is_found:
            found = open_found(source)
            found.check()
            data = found.data
        else:
            data = source.read_bytes()
        return data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigProblem(
            "The configuration file {path} does not exist. Nothing was changed. "
            "Check the name, or make one with: archiver init",
            path=source,
        ) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise ConfigProblem(
            "The configuration file {path} cannot be read ({reason}). Nothing was changed. "
            "It must be a readable UTF-8 text file.",
            path=source,
            reason=error,
        ) from None
    except OSError as error:
        raise unreadable(source, error) from None


def unreadable(path: Path, error: OSError) -> StorageProblem:
    """What is raised for a configuration that the disk or a permission keeps from the caller."""
    return StorageProblem(
        "The configuration file {path} cannot be read ({reason}). Nothing was changed. Run this as a user who may "
        "read it, or mend the permissions of the file and of its folders.",
        path=path,
        reason=error.strerror,
    )
