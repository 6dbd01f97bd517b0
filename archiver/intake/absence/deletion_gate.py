"""Hold captures back while nothing proves the deletion of missing files, until a person accepts the loss."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from archiver import clock
from archiver.errors import LazyMessage, Reporter, StorageError
from archiver.intake.absence.deletion_check import ALL_FILES_GONE, DeletionCheck
from archiver.intake.snapshot import Snapshot, State
from archiver.store.archive import Archive

#: The key in ``state.db``, for JSON: the number of missing files, and that of the newest event at the time.
_META_KEY = "absence"
#: The key in ``state.db`` for the number of the newest event with a decision that has had its effect.
_USED_DECISION_KEY = "used_decision"
#: The shortest time until missing files are looked for again, and the share of the time that this may take.
_MIN_RECHECK_SECONDS, _MAX_RECHECK_SHARE = 2.0, 0.05


class DeletionGate:
    """Decides before each capture whether missing paths may be captured as deleted.

    What was found missing is kept in ``state.db``, so that a person's decision counts after a restart as well.
    """

    def __init__(
        self,
        deletion_check: DeletionCheck,
        is_folder_present: Callable[[], bool],
        snapshot: Snapshot,
        archive: Archive,
        report: Reporter,
    ) -> None:
        """Use parts owned and closed by the caller; raises sqlite3.Error if ``snapshot`` cannot be read."""
        self._deletion_check = deletion_check
        self._is_folder_present = is_folder_present
        self._snapshot = snapshot
        self._archive = archive
        self._report = report
        #: Why captures are held back, perhaps since an earlier run; None if they are not.
        self.absence = read_absence(snapshot)
        #: True after :meth:`admit` has held captures back.
        self.is_holding = False
        self._recheck_at = 0.0
        if not snapshot.meta(_USED_DECISION_KEY):
            # The database is new, and no decision of the past is about what is missing now.
            self._use_up_decision()

    @property
    def refusal(self) -> StorageError | None:
        """Return the error for a person if captures are held back; None otherwise."""
        if self.absence is None or not self.is_holding:
            return None
        return StorageError(ALL_FILES_GONE, **self.absence.fields)

    @property
    def seconds_until_recheck(self) -> float:
        """Return how long captures are held back for certain; 0 if :meth:`admit` may admit them now."""
        if self.absence is None or has_unused_decision(self._archive, self._snapshot):
            return 0.0
        return max(self._recheck_at - clock.monotonic_seconds(), 0.0)

    @property
    def is_in_question(self) -> bool:
        """Return True if captures are held back, or a decision has had no effect yet; raises sqlite3.Error."""
        return self.absence is not None or has_unused_decision(self._archive, self._snapshot)

    def admit(self, changed_states: Mapping[bytes, State]) -> frozenset[bytes] | None:
        """Return the deleted paths out of sight; all other changes may be captured.

        ``changed_states`` are all paths that differ from the archive.  Returns None if nothing may be captured,
        because the folder is not the watched one, or because everything known to the archive is gone.
        """
        now = clock.monotonic_seconds()
        if has_unused_decision(self._archive, self._snapshot):
            if None in changed_states.values():
                # The decision is about what is missing, not about what cannot be seen.
                self.is_holding = False
                return self._deletion_check.find_unseen(changed_states)
            self.clear()
        if self.absence is not None and now < self._recheck_at:
            return None
        # The folder may have been unmounted since the beginning of this turn, and the paths were looked up before.
        if not self._is_folder_present():
            return None
        deletions = self._deletion_check.examine(changed_states, is_held=self.absence is not None)
        if not deletions.missing_count:
            self.clear()
            return deletions.unseen
        elapsed_seconds = clock.monotonic_seconds() - now
        self._recheck_at = now + max(_MIN_RECHECK_SECONDS, elapsed_seconds / _MAX_RECHECK_SHARE)
        self._hold_back(deletions.missing_count)
        return None

    def clear(self) -> None:
        """Note that nothing is missing, and end the decision in force; raises sqlite3.Error."""
        self.is_holding = False
        self._use_up_decision()
        if self.absence is not None:
            self._snapshot.set_meta(_META_KEY, "")
            self.absence = None

    def _hold_back(self, missing_count: int) -> None:
        """Store the hold on captures, and report the hold once."""
        if self.absence is None:
            newest_event = self._archive.index.journal_point
            seq = newest_event.seq if newest_event else 0
            self._snapshot.set_meta(_META_KEY, json.dumps({"count": missing_count, "seq": seq}))
            self.absence = read_absence(self._snapshot)
        if not self.is_holding:
            self.is_holding = True
            self._report(ALL_FILES_GONE, problem="folder", value=missing_count)

    def _use_up_decision(self) -> None:
        """Record that the newest decision has no effect on losses found from now on."""
        self._snapshot.set_meta(_USED_DECISION_KEY, str(self._archive.index.watched_folder.absence_accepted_seq))


def read_absence(snapshot: Snapshot) -> LazyMessage | None:
    """Return why captures are held back, as stored in ``state.db``; None without a hold."""
    stored_json = snapshot.meta(_META_KEY)
    return ALL_FILES_GONE.with_fields(value=json.loads(stored_json)["count"]) if stored_json else None


def has_unused_decision(archive: Archive, snapshot: Snapshot) -> bool:
    """Return True if a person accepted missing files, and some are not captured as deleted yet.

    A decision of the past does not count for a new ``state.db``.  Raises sqlite3.Error.
    """
    accepted_seq = archive.index.watched_folder.absence_accepted_seq
    if read_absence(snapshot) is not None and accepted_seq <= _read_seq(snapshot):
        return False
    used_seq = snapshot.meta(_USED_DECISION_KEY)
    return bool(used_seq) and accepted_seq > int(used_seq)


def _read_seq(snapshot: Snapshot) -> int:
    """Return the number of the newest event when the files were found missing."""
    return int(json.loads(snapshot.meta(_META_KEY))["seq"])
