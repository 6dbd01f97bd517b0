"""Try after each full scan what the system allows in the watched folder, and make up for what is missing."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.intake.folder.abilities import (
    MissingAbility,
    count_quiet_periods,
    encode_abilities,
    find_missing_abilities,
)
from archiver.intake.folder.access import FolderAccess
from archiver.intake.snapshot import Snapshot


class TriedAbilities:
    """The abilities that were missing at the last trial; also in ``state.db``, for ``archiver status``."""

    def __init__(self, access: FolderAccess, snapshot: Snapshot, real_path: bytes) -> None:
        """Use ``access`` and ``snapshot``, which the caller closes.

        ``real_path`` is the watched folder's path without links.
        """
        self._access = access
        self._snapshot = snapshot
        self._real_path = real_path
        self._missing_abilities: list[MissingAbility] = []

    @property
    def quiet_periods(self) -> int:
        """Return for how many quiet periods a file must be unchanged before it is captured."""
        return count_quiet_periods(self._missing_abilities)

    def try_again(self, new_files: Iterable[bytes]) -> None:
        """Try the abilities on some files, of which ``new_files`` are not archived yet; raises sqlite3.Error."""
        self._missing_abilities = find_missing_abilities(
            self._access, self._real_path, new_files, self._snapshot.file_entries()
        )
        self._snapshot.set_meta("abilities", encode_abilities(self._missing_abilities))
