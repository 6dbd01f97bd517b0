"""Everything that the model knows beside the journal: clocks, watched folder, settings, keys, and lost databases."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.model.journal_rules import public_key_of
from tests.model.raw_journal import JOURNAL, ObjectReader, read_loose_refs, read_packed_refs, sha256_of
from tests.model.reference import Materials, ReferenceState
from tests.model.restricted_places import closed_content
from tests.model.retention_rules import RetentionTerms, compliance_time
from tests.model.settings_file import ConfiguredRetention
from tests.model.simulated_clocks import SimulatedClocks

#: The name of the submission with the files directly in a filing's folder.
COMMON = "_common"
#: The files of a submission's folder, by their names; None for an empty folder.
FolderFiles = dict[str, bytes | None]


class LostHistory(NamedTuple):
    """What a database that was set aside proves."""

    #: The commit of each version and the time of its capture, by its tag.
    versions: Mapping[str, tuple[str, str]]
    records: frozenset[tuple[str, str, str]]
    seq: int

    @classmethod
    def of(cls, state: ReferenceState) -> LostHistory:
        versions = {tag: (version.commit, version.captured_at) for tag, version in state.versions.items()}
        return cls(versions, frozenset(state.records), state.seq)


@dataclass
class World:
    """The state of everything around one archive."""

    root: Path
    clocks: SimulatedClocks
    state: ReferenceState = field(default_factory=ReferenceState)
    #: What the watched folder holds, by submission as in refs, such as ``甲/首次`` or ``甲/_common``.
    folder: dict[str, FolderFiles] = field(default_factory=dict)
    settings: ConfiguredRetention = field(default_factory=ConfiguredRetention)
    cooling_off_days: int = 7
    #: Databases of a lost history; disposals are suspended while there are any.
    set_aside: list[LostHistory] = field(default_factory=list)
    #: How much time had really passed at each event, by its digest; none for those before the run.
    elapsed_by_event: dict[str, timedelta] = field(default_factory=dict)
    #: True once a crash or a restored backup may have left content objects and copies that no version names.
    has_leftovers: bool = False
    #: True while a crash or a restored backup may have left restricted content open to others.
    may_have_open_content: bool = False
    #: The digest of all content that was ever closed to others, in whatever history.
    once_closed: set[str] = field(default_factory=set)

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def repository(self) -> Path:
        return self.archive / "archive.git"

    @property
    def watch(self) -> Path:
        return self.root / "materials"

    @property
    def keys(self) -> Path:
        return self.archive / "keys"

    def folder_of(self, submission: str) -> Path:
        filing, name = submission.split("/")
        return self.watch / filing if name == COMMON else self.watch / filing / name

    def materials_of(self, submission: str) -> Materials:
        """Return what a version of the folder as it is now would hold.

        A folder that was recorded as empty stays recorded while it is there.
        """
        files, newest = self.folder.get(submission, {}), self.state.newest(submission)
        recorded = [name for name, file in newest.materials.items() if file is None] if newest else []
        folders = {os.path.dirname(name) for name in files}
        return {name: None for name in recorded if name in folders} | {
            name: None if data is None else (hashlib.sha256(data).hexdigest(), len(data))
            for name, data in files.items()
        }

    @property
    def reading(self) -> dict[str, Any]:
        """The clocks of now, in the form of an event's ``clock``."""
        reading = self.clocks.read()
        return {
            "wall": reading.wall.isoformat(),
            "boot_id": reading.boot_id,
            "boottime_ns": reading.boottime_ns,
            "uptime_ns": reading.uptime_ns,
            "shifted": reading.shifted,
        }

    @property
    def now(self) -> datetime:
        """The compliance clock of now."""
        return compliance_time(self.state.clock, self.reading)

    def read_state(self, commit: str | None = None) -> ReferenceState:
        """Return what the journal says up to ``commit`` (None: its newest event).

        The time of events before the run counts as if it had passed by the compliance clock.
        """
        state = ReferenceState()
        with closing(ObjectReader(self.repository)) as reader:
            events = reader.events_after(None, commit)
        if not self.elapsed_by_event:
            times = {event.digest: datetime.fromisoformat(event.clock["time"]) for event in events}
            self.elapsed_by_event |= {digest: time - max(times.values()) for digest, time in times.items()}
        for event in events:
            state.apply(event, self.elapsed_by_event[event.digest])
        return state

    @property
    def accepted_terms(self) -> RetentionTerms:
        """What nothing can withdraw any more."""
        return RetentionTerms(self.state.years_by_scope, self.state.time_zones)

    @property
    def terms(self) -> RetentionTerms:
        """What was accepted, and what the settings say beyond that, whether or not it was accepted."""
        configured, accepted = self.settings.years_by_scope, self.state.years_by_scope
        years = {
            scope: max(configured.get(scope, 0), accepted.get(scope, 0))
            for scope in configured.keys() | accepted.keys()
        }
        return RetentionTerms(years, self.state.time_zones | {self.settings.time_zone})

    def is_key_usable(self) -> bool:
        """Return True if the key that the journal names last is there, or is installed by the next writer."""
        in_force = self.state.keys[-1]
        for name in ("signing_key", "signing_key.new"):
            path = self.keys / name
            if path.exists() and public_key_of(path.read_bytes()) == in_force:
                return True
        return False

    def heads_signed_in_vain(self) -> set[str]:
        """Return the heads that the journal neither has nor names as abandoned, of two kinds.

        They were noted before they were signed, or such a head names them as abandoned.
        """
        path = self.archive / "spool" / "signing"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        heads: set[str] = set()
        for line in filter(_is_json, lines):
            if sha256_of(line) not in self.state.known_heads:
                heads |= {sha256_of(line), *json.loads(line).get("abandoned", [])}
        return heads - self.state.known_heads

    def content_path(self, digest: str) -> Path:
        return self.repository / "lfs" / "objects" / digest[:2] / digest[2:4] / digest

    def has_content(self, digest: str) -> bool:
        return self.content_path(digest).exists()

    def expected_findings(self) -> set[tuple[str, str]]:
        """Return code and object of each finding that ``verify`` must have, and no other."""
        state, findings = self.state, set()
        if state.format > 1 and state.covered_seq != state.seq:
            findings.add(("A038", f"event {state.seq}"))
        findings |= {("A054", plan.identity) for plan in state.plans.values() if plan.is_begun > plan.is_certified}
        findings |= {
            ("A058", digest)
            for digest, plan in state.destroyed.items()
            if state.plans[plan].is_certified and self.has_content(digest)
        }
        findings |= {
            ("A059", digest)
            for digest in closed_content(state)
            if self.has_content(digest) and self.content_path(digest).stat().st_mode & 0o077
        }
        signers = self.keys / "allowed_signers"
        if not signers.exists() or signers.read_bytes() != state.signers:
            findings.add(("A060", "keys/allowed_signers"))
        if self.set_aside and self._has_packed_refs_of_lost_history():
            findings.add(("A023", "archive.git/packed-refs"))
        return findings

    def find_packed_continuation(self) -> ReferenceState | None:
        """Return the state up to the event that the packed refs name, if it continues the journal; or None.

        The files of a backup, copied over the repository, may leave a journal that lacks only its newest events.
        """
        commit = read_packed_refs(self.repository).get(JOURNAL)
        if commit is None or commit in self.state.past_oids:
            return None
        state = self.read_state(commit)
        return state if self.state.digest in state.digests else None

    def _has_packed_refs_of_lost_history(self) -> bool:
        """Return True if a ref that has a file is packed with a value that it never had in this history.

        The files of a backup, copied over the repository, leave such a value if nothing was packed in the backup.
        Accepting the loss removes it.
        """
        loose, packed = read_loose_refs(self.repository), read_packed_refs(self.repository)
        return any(ref in loose and oid not in self.state.past_oids for ref, oid in packed.items())


def _is_json(line: bytes) -> bool:
    """Return False for a line that a crash has cut, whose head was never signed."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
