"""Files that were captured by mistake: restricted, and perhaps disposed of and captured again."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from archiver.model import Actor
from tests.model import acts
from tests.model.disposal_rules import DisposalRules
from tests.model.everyday_rules import FILES, numbers, users
from tests.model.machine import CAPTURING, DISPOSING, OWNER, crashes
from tests.model.program import Crash
from tests.model.reference_records import Place
from tests.model.restricted_places import SHARED, closed_content, place_in
from tests.model.restrictions import NamedFile, check_described, expect_restriction

REASONS = st.sampled_from(["误存的工资表", "payroll"])


class RestrictionRules(DisposalRules):
    """Restrictions and their end."""

    def __init__(self) -> None:
        super().__init__()
        # The group that may read must find closed what is restricted: `verify` looks at the modes only then.
        self.world.archive.chmod(0o750)
        # Sensitive files of the golden archive.
        self.world.once_closed |= {
            path.name
            for path in (self.world.repository / "lfs/objects").glob("??/??/*")
            if path.stat().st_mode & 0o777 != SHARED
        }

    def _named_file(self, choice: int, path_choice: int) -> NamedFile:
        """Return a file of a version, sometimes one that the version does not have, or an empty folder."""
        tags = list(self.state.versions)
        version = self.state.versions[tags[-1 - choice % len(tags)]]
        paths = [*version.materials] * 3 + [*FILES[:2]]
        return NamedFile(version.tag, paths[path_choice % len(paths)])

    @precondition(lambda self: self.state.versions)
    @rule(
        choices=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=3),
        reason=REASONS,
        user=users,
        crash=crashes(),
    )
    def restrict(self, choices: list[tuple[int, int]], reason: str, user: Actor, crash: Crash | None) -> None:
        self._restrict([self._named_file(*choice) for choice in choices], reason, user=user, crash=crash)

    def _restrict(self, files: list[NamedFile], reason: str, *, user: Actor, crash: Crash | None) -> None:
        expectation = expect_restriction(self.world, files, ends=False)
        for tag, path in files:
            version = self.state.versions.get(tag)
            if version is not None and (place := place_in(version, path)) is not None:
                self.world.once_closed.add(place.digest)
        described: list[dict[str, Any]] = []
        act = acts.restrict(self.config, list(map(str, files)), reason, described)
        self.perform(act, expectation, user=user, crash=crash)
        for description in described:
            check_described(self.state, description)

    @precondition(lambda self: self.state.restrictions)
    @rule(
        choices=st.lists(st.integers(0, 9), min_size=1, max_size=2),
        other=st.none() | st.none() | st.tuples(st.integers(0, 9), st.integers(0, 99)),
        user=users,
        crash=crashes(),
    )
    def unrestrict(
        self, choices: list[int], other: tuple[int, int] | None, user: Actor, crash: Crash | None
    ) -> None:
        """Ends restrictions; what is open then can be read by all again.  With any ``other`` file, often none ends."""
        places = list(self.state.restrictions)
        chosen = [places[choice % len(places)] for choice in choices]
        files = [name for name in map(self._newest_name, chosen) if name is not None]
        files += [] if other is None else [self._named_file(*other)]
        if not files:
            return
        expectation = expect_restriction(self.world, files, ends=True)
        act = acts.unrestrict(self.config, list(map(str, files)))
        outcome = self.perform(act, expectation, user=user, crash=crash)
        if outcome.is_crashed or not expectation.batches:
            return
        for digest in {place.digest for place in chosen} - closed_content(self.state):
            path = self.world.content_path(digest)
            assert not path.exists() or path.stat().st_mode & 0o777 == SHARED, f"{digest} is closed to others"

    def _newest_name(self, place: Place) -> NamedFile | None:
        """Return the name of a file by the newest version that has it; None if a lost history had the only one."""
        tags = [tag for tag, version in self.state.versions.items() if place_in(version, place.path) == place]
        return NamedFile(tags[-1], place.path) if tags else None

    @rule(number=numbers, reason=REASONS, crash=crashes(CAPTURING), disposal_crash=crashes(DISPOSING))
    def capture_restricted_again(
        self, number: int, reason: str, crash: Crash | None, disposal_crash: Crash | None
    ) -> None:
        """A restricted content is disposed of, and captured again at its place."""
        submission, secret = self.submission(number), b"payroll %d" % (self.act_count % 3)
        for data in (secret, b"1"):
            self.write_file(submission, "a", data)
            self.capture_one(number=number, crash=None)
        newest = self.state.newest(submission)
        if newest is None or newest.number == 1:
            return
        self._restrict([NamedFile(f"{submission}/v{newest.number - 1}", "a")], reason, user=OWNER, crash=None)
        self.end_and_wait(number, years_pass=True)
        self.dispose_of_disposable("", disposal_crash)
        self.write_file(submission, "a", secret)
        self.capture_one(number=number, crash=crash)

    @rule(number=numbers, reason=REASONS, crash=crashes(DISPOSING))
    def dispose_of_open_copy(self, number: int, reason: str, crash: Crash | None) -> None:
        """The version that is disposed of is the only one that has a restricted content at another path, too."""
        submission, secret = self.submission(number), b"copied payroll %d" % (self.act_count % 3)
        for name in ("a", "b.txt"):
            self.write_file(submission, name, secret)
        self.capture_one(number=number, crash=None)
        self.remove_file(submission, "b.txt", keeps_folder=False)
        self.capture_one(number=number, crash=None)
        newest = self.state.newest(submission)
        if newest is not None:
            self._restrict([NamedFile(newest.tag, "a")], reason, user=OWNER, crash=None)
            self.end_and_wait(number, years_pass=True)
            self.dispose_of_disposable("", crash)
