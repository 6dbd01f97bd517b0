"""Keys, backups, lost and replaced databases, and the upkeep of the repository."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.evidence.key_rotation import replace_signing_key
from archiver.store.writing.upgrade import upgrade
from tests.model import acts, expectations
from tests.model.expectations import Expectation
from tests.model.machine import MAINTAINING, OWNER, ArchiveMachine, crashes
from tests.model.program import Crash
from tests.model.raw_journal import JOURNAL, read_refs
from tests.model.reference import ReferenceState
from tests.model.world import LostHistory

#: Of one run: they take more time than anything else, and one in use is as good as five.
_MOST_BACKUPS = 3


class Backup(NamedTuple):
    """A copy of the archive's folder, and what was true then."""

    folder: Path
    state: ReferenceState
    set_aside: list[LostHistory]


class IndexCopy(NamedTuple):
    """A copy of ``index.db``, and what it proves if its history is lost."""

    files: dict[str, bytes]
    digest: str
    history: LostHistory


class MishapRules(ArchiveMachine):
    """Keys, backups, lost and replaced databases, and upkeep of the repository."""

    def __init__(self) -> None:
        super().__init__()
        self.backups: list[Backup] = []
        self.index_copies: list[IndexCopy] = []
        #: Every key file that there ever was.
        self.old_keys: list[bytes] = []

    def _remember_key(self) -> None:
        path = self.world.keys / "signing_key"
        if path.exists() and path.read_bytes() not in self.old_keys:
            self.old_keys.append(path.read_bytes())

    @rule(crash=crashes())
    def rotate_key(self, crash: Crash | None) -> None:
        self._remember_key()
        expectation = expectations.expect_new_key(self.world, is_old_key_lost=False)
        act = partial(replace_signing_key, reason="年度", is_old_key_lost=False, lock_timeout=0)
        self.perform(act, expectation, crash=crash)

    @rule(crash=crashes())
    def replace_key(self, crash: Crash | None) -> None:
        self._remember_key()
        expectation = expectations.expect_new_key(self.world, is_old_key_lost=True)
        act = partial(replace_signing_key, reason="丢失", is_old_key_lost=True, lock_timeout=0)
        # Nothing else could upgrade an archive whose key is lost.
        self.perform(act, expectation, crash=crash, is_for_any_format=True)
        self.settle()

    @rule(is_damaged=st.booleans())
    def lose_key(self, is_damaged: bool) -> None:
        self._remember_key()
        path = self.world.keys / "signing_key"
        if is_damaged:
            path.write_bytes(b"damaged\n")
            path.chmod(0o600)
        else:
            path.unlink(missing_ok=True)

    @precondition(lambda self: self.old_keys)
    @rule(choice=st.integers(0, 3))
    def bring_key_back(self, choice: int) -> None:
        self._remember_key()
        path = self.world.keys / "signing_key"
        path.write_bytes(self.old_keys[-1 - choice % len(self.old_keys)])
        path.chmod(0o600)

    @rule(crash=crashes())
    def upgrade(self, crash: Crash | None) -> None:
        expectation = expectations.expect_upgrade(self.world)
        self.perform(lambda archive: upgrade(archive, 0), expectation, crash=crash, is_for_any_format=True)
        self.settle()

    # --- backups and databases

    @precondition(lambda self: len(self.backups) < _MOST_BACKUPS)
    @rule()
    def back_up(self) -> None:
        self.program.close()
        folder = self.world.root / f"backup-{len(self.backups)}"
        shutil.copytree(self.world.archive, folder, symlinks=True)
        self.backups.append(Backup(folder, copy.deepcopy(self.state), list(self.world.set_aside)))

    @precondition(lambda self: self.backups)
    @rule(choice=st.integers(0, 2), crash=crashes())
    def restore_whole_backup(self, choice: int, crash: Crash | None) -> None:
        """The archive is as it was then, and nothing shows that it was ever different."""
        backup = self.backups[-1 - choice % len(self.backups)]
        self._remember_key()
        self.program.close()
        shutil.rmtree(self.world.archive)
        shutil.copytree(backup.folder, self.world.archive, symlinks=True)
        self.world.state, self.world.set_aside = copy.deepcopy(backup.state), list(backup.set_aside)
        self.world.may_have_open_content = True
        self.reopen()
        self.accept_loss(crash=crash)

    @precondition(lambda self: self.backups)
    @rule(choice=st.integers(0, 2), accepts=st.booleans(), crash=crashes())
    def restore_repository(self, choice: int, accepts: bool, crash: Crash | None) -> None:
        """The repository is as it was then, and the databases are those of today."""
        backup = self.backups[-1 - choice % len(self.backups)]
        # The index is the evidence of what is lost, even if it was lost itself before.
        self.program.recover()
        self.program.close()
        shutil.rmtree(self.world.repository)
        shutil.copytree(backup.folder / "archive.git", self.world.repository, symlinks=True)
        self._go_back_to(backup)
        self.world.may_have_open_content = True
        self.reopen()
        self.program.recover()
        self.compare_soon()
        if accepts:
            self.accept_loss(crash=crash)

    def _go_back_to(self, backup: Backup) -> None:
        """Take back what the journal does not say any more; the index of today is set aside and proves it."""
        if self.state.digest not in backup.state.digests:
            self.world.set_aside.append(LostHistory.of(self.state))
        self.world.state = copy.deepcopy(backup.state)

    @precondition(lambda self: self.backups)
    @rule(choice=st.integers(0, 2), crash=crashes())
    def restore_over_repository(self, choice: int, crash: Crash | None) -> None:
        """The files of a backup are copied over those of today, and what is newer stays beside them."""
        backup = self.backups[-1 - choice % len(self.backups)]
        if backup.state.commit not in {self.state.commit, *self.state.past_oids}:
            # A history that was left since: tests/store/test_set_aside.py has this case.
            return
        self.program.recover()
        self.program.close()
        # Or a version captured again in the same second would be the same commit, and prove a lost event.
        self.world.clocks.let_pass(timedelta(seconds=2))
        _copy_over(backup.folder / "archive.git", self.world.repository)
        # The content of versions that the backup does not know stays as well.
        self.world.has_leftovers = self.world.may_have_open_content = True
        self.reopen()
        refs = read_refs(self.world.repository)
        if refs[JOURNAL] == backup.state.commit and not _find_deviations(refs, backup.state):
            # As if nothing newer were there; the snapshot could name a newer event.
            self.lose_snapshot()
            self._go_back_to(backup)
            self.program.recover()
        elif _find_deviations(refs, self.state):
            # Refs and journal contradict each other: nobody can write. The databases show that all events are whole.
            outcome = self.program.perform(acts.tick, OWNER)
            assert outcome.error == "JournalDamaged", outcome
            self.accept_loss(crash=crash, is_journal_behind=True)
        else:
            # The journal's ref has a file of its own, which the backup has not.
            self._put_lost_refs_back(refs)
            self.compare_soon()

    def _put_lost_refs_back(self, refs: Mapping[str, str]) -> None:
        """Put back what an earlier loss left aside, and nothing but verify looks at."""
        for ref, oid in self.state.refs.items():
            if ref not in refs:
                path = self.world.repository / ref
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{oid}\n")

    @rule(crash=crashes())
    def accept_loss(self, crash: Crash | None, is_journal_behind: bool = False) -> None:
        """Accept what is lost, perhaps nothing; with ``is_journal_behind`` the journal's ref has to move forward."""
        continuation = None if is_journal_behind else self.world.find_packed_continuation()
        if continuation is not None:
            # Events that continue the journal are not lost: it moves forward to the packed one.
            self.world.state = continuation
        for crash_or_none in (crash, None):
            expectation = expectations.expect_accepted_loss(self.world, is_journal_behind=is_journal_behind)
            outcome = self.perform(
                acts.accept_loss,
                expectation,
                crash=crash_or_none,
                is_for_any_format=True,
                is_repair=True,
            )
            if not outcome.is_crashed:
                break
            # The refs may be as they should be by now, so that there is nothing more to be said.
            deviations = _find_deviations(read_refs(self.world.repository), self.state)
            is_journal_behind = is_journal_behind and bool(deviations)
        if self.world.set_aside or is_journal_behind:
            self.compare_soon()
        self.world.set_aside.clear()
        self.settle()

    @rule()
    def lose_index(self) -> None:
        self._remove_database("index.db")

    @rule()
    def lose_snapshot(self) -> None:
        self._remove_database("state.db")

    def _remove_database(self, name: str) -> None:
        self.program.close()
        for path in self.world.archive.glob(f"{name}*"):
            path.unlink()

    @rule()
    def copy_index(self) -> None:
        self.program.recover()
        self.program.close()
        files = {path.name: path.read_bytes() for path in self.world.archive.glob("index.db*")}
        self.index_copies.append(IndexCopy(files, self.state.digest, LostHistory.of(self.state)))

    @precondition(lambda self: self.index_copies)
    @rule(choice=st.integers(0, 2))
    def put_index_copy(self, choice: int) -> None:
        index_copy = self.index_copies[-1 - choice % len(self.index_copies)]
        self._remove_database("index.db")
        for name, data in index_copy.files.items():
            (self.world.archive / name).write_bytes(data)
            (self.world.archive / name).chmod(0o600)
        if index_copy.digest not in self.state.digests:
            self.world.set_aside.append(index_copy.history)
        self.program.recover()
        self.compare_soon()

    @rule(crash=crashes(MAINTAINING))
    def maintain(self, crash: Crash | None) -> None:
        outcome = self.perform(acts.maintain(self.config), Expectation(), crash=crash)
        if not outcome.is_crashed:
            self.world.may_have_open_content = False

    @rule(crash=crashes())
    def reindex(self, crash: Crash | None) -> None:
        self.perform(acts.reindex, Expectation(), crash=crash)

    @rule()
    def close(self) -> None:
        self.program.close()


def _copy_over(source: Path, target: Path) -> None:
    """Copy all files of a folder into another one, where they replace those of the same name."""
    for path in source.rglob("*"):
        copied = target / path.relative_to(source)
        if path.is_dir():
            copied.mkdir(exist_ok=True)
        else:
            copied.unlink(missing_ok=True)
            shutil.copy2(path, copied)


def _find_deviations(refs: Mapping[str, str], state: ReferenceState) -> list[str]:
    """Return the refs that are not as in ``state``, but for those that an earlier loss left aside."""
    return [
        ref
        for ref in refs.keys() | state.refs.keys()
        if refs.get(ref) != state.refs.get(ref) and "/lost/" not in ref
    ]
