"""What goes into the package, in the order in which its own verifier reads it.

The same archive and the same choice give the same bytes; only ``export.json``
says when, for whom and by whom it was made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from archiver import __version__, clock
from archiver.audit.bag import BagWriter
from archiver.audit.export_selection import ExportSelection
from archiver.audit.portable import PortableNames
from archiver.audit.report_model import Facts, MaterialLine, Presentation, VersionLine
from archiver.audit.shown_documents import Opened
from archiver.documents.integrity import NOTES
from archiver.documents.reader import Reader
from archiver.errors import Phrase, StorageProblem
from archiver.filings.records import EVIDENCE
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.model import Event, Material, Version
from archiver.retention.policy import Policy, decide
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events import UNREADABLE
from archiver.store.git.repository import JOURNAL
from archiver.store.journal import CHANGES_FILE, EVENT_FILE, canonical

#: Attachments that everybody needs to check what the journal says; others belong to their submission.
_PROOFS = frozenset(
    {
        "allowed_signers",
        "tsa_roots.pem",
        "token.tsr",
        "plan.json",
        "certificate.json",
        "certificate.json.sig",
        "certificate.html",
    }
)
_SIGNED = {"submit", "checkpoint", "key-rotate"}
_RESOURCES = ("verify.py", "verify.bat", "README.txt")


class Contents:
    """Writes one package's files; ``policy`` decides what its page says of retention."""

    def __init__(
        self,
        archive: Archive,
        bag: BagWriter,
        selection: ExportSelection,
        policy: Policy,
        presentation: Presentation,
        reader: Reader,
    ) -> None:
        self._archive = archive
        self._bag = bag
        self._selection = selection
        self._names = PortableNames()
        self._policy = policy
        self._presentation = presentation
        self._reader = reader
        self._opened = Opened(archive.content, reader)
        self._placed: dict[tuple[str, str], str] = {}
        self._copied: dict[str, Material] = {}
        self.facts = Facts(outcomes=self._opened.outcomes)

    def begin(self, versions: list[Version]) -> None:
        """Begin to copy every content, once, to where it first appears; :meth:`write` waits for it."""
        for version in versions:
            for material in self._archive.index.materials(version.submission, version.number):
                self._place(version, material)

    def write(self, versions: list[Version], record: Mapping[str, Any]) -> None:
        """Write everything else; ``record`` is the export's own.  Raises StorageProblem for damaged content."""
        # As of the newest event, not of the moment of the export.
        head = self._archive.journal.head()
        self._now = clock.parse(head.clock["time"]) if head else self._archive.compliance_time()
        newest = {version.submission: version for version in versions}
        listed = {version.tag for version in versions if version.submitted} | {v.tag for v in newest.values()}
        lines = [self._version(version, version.tag in listed) for version in versions]
        submissions = {str(version.submission) for version in versions}
        events = self._journal(submissions)
        receipts = self._receipts(events, {each.tag for version in versions for each in version.submitted})
        self._add_json("versions.json", [self._entry(version, receipts) for version in versions])
        self._repository(versions)
        coverage = self._coverage()
        self._add_json("coverage.json", coverage)
        mapping = {portable: names.text(raw) for portable, raw in sorted(self._names.replaced.items())}
        self._add_json("names.json", mapping)
        head = events[-1]
        self._bag.add_tag_file("report.html", self._page(lines, events, coverage).encode("utf-8"))
        for name in _RESOURCES:
            data = resources.files("archiver.audit").joinpath("resources", name).read_bytes()
            self._bag.add_tag_file(name, data)
        self._bag.add_tag_file("export.json", canonical(dict(record)))
        # The copies were made meanwhile.
        self._check_copies()
        self._bag.finish(
            {
                "Source-Organization": "archiver",
                "Bag-Software-Agent": f"archiver {__version__}",
                "Bagging-Date": head.at[:10],
                "External-Identifier": f"{self._archive.index.archive_id}-{head.seq}",
                "External-Description": f"{len(versions)} versions of filing materials",
            }
        )

    def _page(self, lines: list[VersionLine], events: list[Event], coverage: dict[str, Any]) -> str:
        # Not before it is needed: meanwhile the first content is on its way.
        from archiver.audit.report import PackageReport

        hidden = self._selection.leaves_out
        report = PackageReport(self._archive, self._policy, self._presentation, hidden, self._reader)
        return report.render(lines, events, coverage, self.facts)

    def _add_json(self, name: str, document: Any) -> None:
        self._bag.add_payload(name, [canonical(document)])

    # --- versions

    def _version(self, version: Version, is_listed: bool) -> VersionLine:
        materials = [
            self._material(version, material, is_listed)
            for material in self._archive.index.materials(version.submission, version.number)
        ]
        rows = b"".join(
            canonical(
                {
                    "path": line.path,
                    "sha256": line.sha256,
                    "size": line.size,
                    "mtime_ns": line.mtime_ns,
                    "file": line.file,
                    "why": str(line.why) if line.why else None,
                }
            )
            for line in materials
        )
        self._bag.add_payload(self._list(version), [rows])
        # The report of thousands of versions lists the materials of those that matter.
        shown = materials if is_listed else []
        return VersionLine(version, decide(version, self._policy, self._now), shown, f"data/{self._list(version)}")

    def _list(self, version: Version) -> str:
        return f"versions/{self._names.path(version.tag.encode('utf-8'))}.jsonl"

    def _entry(self, version: Version, receipts: Mapping[str, tuple[int, str | None]]) -> dict[str, Any]:
        return {
            "tag": version.tag,
            "list": f"data/{self._list(version)}",
            "captured_at": version.captured_at,
            "commit": version.commit,
            "submitted": [
                {
                    "tag": each.tag,
                    "on": each.on,
                    "kind": each.kind,
                    "number": each.number,
                    "seq": receipts[each.tag][0],
                    "receipt": receipts[each.tag][1],
                    **({"reason": each.reason} if each.reason else {}),
                }
                for each in version.submitted
            ],
        }

    def _material(self, version: Version, material: Material, is_listed: bool) -> MaterialLine:
        shown = names.text(material.path)
        if material.sha256 is None:
            return MaterialLine(shown + "/", None, 0, material.mtime_ns, None)
        facts = (shown, material.sha256, material.size, material.mtime_ns)
        if version.disposed and material.size:
            return MaterialLine(
                *facts, None, Phrase("disposed of under certificate {name}", name=version.disposed)
            )
        if why := self._selection.leaves_out(material.path):
            return MaterialLine(*facts, None, why)
        file = self._placed[self._key(version, material.sha256)]
        document = self._opened.look(material) if is_listed else None
        return MaterialLine(*facts, file, health=NOTES.get(material.health, ""), document=document)

    def _key(self, version: Version, sha256: str) -> tuple[str, str]:
        return version.tag if self._selection.expand else version.submission.filing, sha256

    def _place(self, version: Version, material: Material) -> None:
        """Each content is stored once, where it first appears; later versions point there."""
        if material.sha256 is None or (version.disposed and material.size):
            return
        key = self._key(version, material.sha256)
        if key not in self._placed and not self._selection.leaves_out(material.path):
            name = self._names.path(b"materials/%s/%s" % (version.tag.encode("utf-8"), material.path))
            self._copy(name, material)
            self._placed[key] = f"data/{name}"

    def _copy(self, name: str, material: Material) -> None:
        if material.size and material.sha256:
            self._bag.copy_payload(name, os.fspath(self._archive.content.path(material.sha256)), material.size)
        else:
            self._bag.add_payload(name, ())
        self._copied[name] = material
        self.facts.files += 1
        self.facts.bytes += material.size

    def _check_copies(self) -> None:
        try:
            self._bag.settle()
        except FileNotFoundError as error:
            lost = os.path.basename(error.filename or "")
            raise self._damaged(next(m for m in self._copied.values() if m.sha256 == lost)) from None
        for name, material in self._copied.items():
            if self._bag.sha256(name) != material.sha256:
                raise self._damaged(material)

    def _damaged(self, material: Material) -> StorageProblem:
        return StorageProblem(
            "The archived content of {path} is missing or damaged, so no package was written. Nothing else "
            "was lost. Run archiver verify, and bring the object {sha256} back from a backup or a clone.",
            path=names.text(material.path),
            sha256=material.sha256,
        )

    # --- journal

    def _journal(self, submissions: set[str]) -> list[Event]:
        """Every event as one line: the SHA-256 of a line is ``prev`` of the next."""
        events: list[Event] = []
        filings = {submission.split("/", 1)[0] for submission in submissions}
        self._bag.add_payload("journal.jsonl", self._event_lines(events.append))
        for event in events:
            if event.action == UNREADABLE:
                data = self._archive.repository.read(f"{event.commit}:{EVENT_FILE}")
                self._bag.add_payload(f"journal/{event.seq}/{EVENT_FILE}", [data])
            of_ours = event.action == "capture" and event.object.rsplit("/", 1)[0] in submissions
            for item in event.attachments:
                is_paper = item.name.startswith(EVIDENCE) and event.object in filings and self._shows(event)
                if is_paper or item.name in _PROOFS or (of_ours and item.name == CHANGES_FILE):
                    name = f"journal/{event.seq}/{item.name}"
                    self._bag.add_payload(name, [self._archive.journal.attachment(event, item.name)])
                    if is_paper:
                        self.facts.papers[event.seq] = f"data/{name}"
            if event.action in _SIGNED:
                oid = event.refs[f"refs/tags/{event.object}"]
                self._bag.add_payload(f"tags/{event.seq}", [self._archive.repository.read(oid)])
        self._bag.add_payload("allowed_signers", [self._archive.signers()])
        return events

    def _shows(self, event: Event) -> bool:
        """Whether a paper of the filing's life may go along: by the name that people gave it."""
        name = str(event.details.get("file") or event.details.get("evidence") or "")
        return not self._selection.leaves_out(names.raw(name))

    def _event_lines(self, note: Callable[[Event], object]) -> Iterator[bytes]:
        for event, line in self._archive.journal.lines_since(None):
            note(event)
            # The bytes of an event that cannot be read may be no line, and lie beside the others.
            is_line = event.action != UNREADABLE
            yield line if is_line else canonical({"seq": event.seq, "unreadable": event.sha256})

    def _receipts(self, events: list[Event], tags: set[str]) -> dict[str, tuple[int, str | None]]:
        """By submitted tag: the event's number, and where the receipt lies."""
        found: dict[str, tuple[int, str | None]] = {}
        for event in events:
            if event.action != "submit" or event.details["tag"] not in tags:
                continue
            found[event.details["tag"]] = (event.seq, None)
            for item in event.attachments:
                path = self._names.path(f"submitted/{event.details['tag']}/{item.name}".encode())
                self._bag.add_payload(path, [self._archive.journal.attachment(event, item.name)])
                found[event.details["tag"]] = (event.seq, f"data/{path}")
        return found

    # --- git, coverage

    def _repository(self, versions: list[Version]) -> None:
        """A bundle of the chosen refs; the journal too where nothing of it is somebody else's."""
        refs = {version.submission.branch for version in versions}
        refs |= {f"refs/tags/{version.tag}" for version in versions}
        refs |= {f"refs/tags/{each.tag}" for version in versions for each in version.submitted}
        if self._selection.is_everything:
            refs.add(JOURNAL)
        place = self._bag.place("repository/archive.bundle")
        place.parent.mkdir(parents=True, exist_ok=True)
        self._archive.repository.bundle(place, sorted(refs))
        self._bag.take_payload("repository/archive.bundle")

    def _coverage(self) -> dict[str, Any]:
        """When everything was compared last, and what was not archived then, with the reasons."""
        snapshot = Snapshot(Path(self._archive.root, "state.db"), read_only=True)
        try:
            return {
                "compared_at": snapshot.meta("last_scan") or None,
                "not_archived": [self._noted(item) for item in snapshot.skipped()],
                "pending": [{**self._noted(item), "since": since} for item, since in snapshot.pending()],
            }
        finally:
            snapshot.close()

    def _noted(self, item: SkippedPath) -> dict[str, str]:
        reasons = {"reason": str(item.reason), "reason_zh": self._presentation.chinese(item.reason)}
        return {"path": names.text(item.path), **reasons}


def record_of(
    archive: Archive, selection: ExportSelection, recipient: str | None, reason: str | None
) -> dict[str, Any]:
    """The export's own record: when, by whom, for whom, why, and what was chosen."""
    return {
        "at": clock.stamp(clock.read().wall),
        "user": archive.actor.user,
        "uid": os.getuid(),
        "recipient": recipient,
        "reason": reason,
        "program": f"archiver {__version__}",
        "selection": selection.described(),
    }
