"""Check that this release can read or write an archive of a given format.

The format of an archive is a number, and *features*: names that a later release may add without a new number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archiver import __version__
from archiver.errors import ConfigError
from archiver.store.events.event_files import FORMAT
from archiver.store.index.queries import StatedFormat

if TYPE_CHECKING:
    from archiver.store.events.archive_events import FormatStated

#: The features that this release knows. A later release adds one when it changes what an event means or needs.
_KNOWN_FEATURES: frozenset[str] = frozenset()


def state_format() -> FormatStated:
    """Return the details of the event that states the format written by this release."""
    from archiver.store.events.archive_events import FormatStated

    return FormatStated(
        number=FORMAT, optional_features=(), writing_features=(), reading_features=(), release=__version__
    )


def find_number(newest_number: int, stated: StatedFormat | None) -> int:
    """Return the number of an archive's format; 0 for an archive without events.

    ``newest_number`` is the format number of the newest journal event, and ``stated`` is the newest statement of
    the archive's format; None if there is no statement.  The larger number counts, because an archive never goes
    back to an earlier format: an event of an earlier format after a statement is only an unreadable event.
    """
    return max(newest_number, stated.number if stated is not None else 0)


def check_readable(root: Path, newest_number: int, stated: StatedFormat | None) -> None:
    """Raise ConfigError if only a newer release can interpret the archive at ``root``.

    ``newest_number`` and ``stated`` are those of :func:`find_number`.
    """
    missing_features = set(stated.reading_features) - _KNOWN_FEATURES if stated is not None else set()
    if find_number(newest_number, stated) > FORMAT or missing_features:
        raise _newer_format_error(root, newest_number, stated)


def check_writable(root: Path, newest_number: int, stated: StatedFormat | None) -> None:
    """Raise ConfigError if the archive at ``root`` has a format to which this release must not write.

    ``newest_number`` and ``stated`` are those of :func:`find_number`.  A new archive, whose ``newest_number`` is
    0, may be written to.
    """
    check_readable(root, newest_number, stated)
    if stated is not None and set(stated.writing_features) - _KNOWN_FEATURES:
        raise _newer_format_error(root, newest_number, stated)
    number = find_number(newest_number, stated)
    if 0 < number < FORMAT:
        raise ConfigError(
            "The archive {path} has format {number}, and this release writes format {wanted}. Nothing was "
            "changed. Archived data can still be read. To upgrade the archive, run: archiver upgrade",
            path=root,
            number=number,
            wanted=FORMAT,
        )


def _newer_format_error(root: Path, newest_number: int, stated: StatedFormat | None) -> ConfigError:
    """Return the error for an archive that a newer release has written."""
    # A statement about an earlier format names a release that cannot read the present format.
    is_stated = stated is not None and stated.number >= newest_number
    return ConfigError(
        "The archive {path} was written by a newer release of archiver (format {number}). Nothing was changed. "
        "Install archiver {release} or later.",
        path=root,
        number=find_number(newest_number, stated),
        release=stated.release if stated is not None and is_stated else "?",
    )
