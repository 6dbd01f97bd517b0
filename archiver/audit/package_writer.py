"""Write the files of a package, in the order of reading by its verifier.

The same archive and the same selection give the same bytes; only ``export.json`` says when, for whom and by whom
the package was made.
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
from archiver.audit.report_model import ExportCounts, MaterialLine, Presentation, VersionLine
from archiver.audit.shown_documents import ShownDocuments
from archiver.documents.integrity import NOTES
from archiver.documents.reader import DocumentReader
from archiver.errors import LazyMessage, StorageError
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.model import Event, Material, Version
from archiver.retention.policy import Policy, decide
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.attached_files import (
    CERTIFICATE_FILE,
    CERTIFICATE_PAGE,
    CERTIFICATE_SIGNATURE_FILE,
    CHANGES_FILE,
    EVIDENCE,
    PLAN_FILE,
    ROOTS_FILE,
    SIGNERS_FILE,
    TOKEN_FILE,
)
from archiver.store.events.event_kinds import UNREADABLE, Action
from archiver.store.events.filing_events import VersionSubmitted, given_paper_name
from archiver.store.git.repository import JOURNAL
from archiver.store.journal import EVENT_FILE, canonical

#: Attachments that are needed to check the journal; others are exported with their submission only.
_PROOFS = frozenset(
    {
        SIGNERS_FILE,
        ROOTS_FILE,
        TOKEN_FILE,
        PLAN_FILE,
        CERTIFICATE_FILE,
        CERTIFICATE_SIGNATURE_FILE,
        CERTIFICATE_PAGE,
    }
)
#: Actions whose event is covered by a signed tag.
_SIGNED_ACTIONS = {Action.SUBMIT, Action.CHECKPOINT, Action.KEY_ROTATE}
_RESOURCES = ("verify.py", "verify.bat", "README.txt")


class PackageWriter:
    """Write a package into a bag: first :meth:`start_copies`, then :meth:`write`."""

    def __init__(
        self,
        archive: Archive,
        bag_writer: BagWriter,
        selection: ExportSelection,
        policy: Policy,
        presentation: Presentation,
        document_reader: DocumentReader,
    ) -> None:
        self._archive = archive
        self._bag_writer = bag_writer
        self._selection = selection
        self._portable_names = PortableNames()
        self._policy = policy
        self._presentation = presentation
        self._document_reader = document_reader
        self._shown_documents = ShownDocuments(archive.content, document_reader)
        #: Owner (a filing, or a version with "expand") and SHA-256 -> path in the package.
        self._content_paths: dict[tuple[str, str], str] = {}
        self._copied_materials: dict[str, Material] = {}
        self.counts = ExportCounts(outcomes=self._shown_documents.outcome_counts)

    def start_copies(self, versions: list[Version]) -> None:
        """Begin to copy every content to its first place in the package; :meth:`write` waits for the copies."""
        for version in versions:
            for material in self._archive.index.materials(version.submission, version.number):
                self._assign_place(version, material)

    def write(self, versions: list[Version], record: Mapping[str, Any]) -> None:
        """Write everything else, and finish the bag; ``record`` becomes ``export.json``.

        Raises StorageError for missing or damaged content, OSError for a full disk.
        """
        # Retention is shown as of the newest event: as of now, each export would have other bytes.
        newest_event = self._archive.journal.head()
        self._retention_time = (
            clock.parse(newest_event.clock["time"]) if newest_event else self._archive.compliance_time()
        )
        newest_versions = {version.submission: version for version in versions}
        listed_tags = {version.tag for version in versions if version.submitted}
        listed_tags |= {version.tag for version in newest_versions.values()}
        version_lines = [self._write_version(version, version.tag in listed_tags) for version in versions]
        selected_submissions = {str(version.submission) for version in versions}
        events = self._write_journal(selected_submissions)
        submitted_tags = {record.tag for version in versions for record in version.submitted}
        receipt_by_tag = self._write_receipts(events, submitted_tags)
        self._add_json("versions.json", [self._version_entry(version, receipt_by_tag) for version in versions])
        self._write_bundle(versions)
        coverage_record = self._coverage_record()
        self._add_json("coverage.json", coverage_record)
        replaced_names = sorted(self._portable_names.original_by_portable.items())
        self._add_json("names.json", {portable: names.text(original) for portable, original in replaced_names})
        newest_event = events[-1]
        self._bag_writer.add_tag_file(
            "report.html", self._render_report(version_lines, events, coverage_record).encode("utf-8")
        )
        for resource_name in _RESOURCES:
            resource_bytes = resources.files("archiver.audit").joinpath("resources", resource_name).read_bytes()
            self._bag_writer.add_tag_file(resource_name, resource_bytes)
        self._bag_writer.add_tag_file("export.json", canonical(dict(record)))
        self._check_copies()
        self._bag_writer.finish(
            {
                "Source-Organization": "archiver",
                "Bag-Software-Agent": f"archiver {__version__}",
                "Bagging-Date": newest_event.at[:10],
                "External-Identifier": f"{self._archive.index.archive_id}-{newest_event.seq}",
                "External-Description": f"{len(versions)} versions of filing materials",
            }
        )

    def _render_report(self, lines: list[VersionLine], events: list[Event], coverage: dict[str, Any]) -> str:
        # Imported late: meanwhile the first content is copied.
        from archiver.audit.report import PackageReport

        report = PackageReport(
            self._archive, self._policy, self._presentation, self._selection.omission_reason, self._document_reader
        )
        return report.render(lines, events, coverage, self.counts)

    def _add_json(self, name: str, document: Any) -> None:
        self._bag_writer.add_payload(name, [canonical(document)])

    # --- versions

    def _write_version(self, version: Version, is_listed: bool) -> VersionLine:
        """Write the list of a version's materials; the report describes only materials of listed versions."""
        material_lines = [
            self._material_line(version, material, is_listed)
            for material in self._archive.index.materials(version.submission, version.number)
        ]
        list_bytes = b"".join(
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
            for line in material_lines
        )
        self._bag_writer.add_payload(self._list_name(version), [list_bytes])
        decision = decide(version, self._policy, self._retention_time)
        return VersionLine(
            version, decision, material_lines if is_listed else [], f"data/{self._list_name(version)}"
        )

    def _list_name(self, version: Version) -> str:
        return f"versions/{self._portable_names.path(version.tag.encode('utf-8'))}.jsonl"

    def _version_entry(
        self, version: Version, receipt_by_tag: Mapping[str, tuple[int, str | None]]
    ) -> dict[str, Any]:
        return {
            "tag": version.tag,
            "list": f"data/{self._list_name(version)}",
            "captured_at": version.captured_at,
            "commit": version.commit,
            "submitted": [
                {
                    "tag": record.tag,
                    "on": record.on,
                    "kind": record.kind,
                    "number": record.number,
                    "seq": receipt_by_tag[record.tag][0],
                    "receipt": receipt_by_tag[record.tag][1],
                    **({"reason": record.reason} if record.reason else {}),
                }
                for record in version.submitted
            ],
        }

    def _material_line(self, version: Version, material: Material, is_listed: bool) -> MaterialLine:
        path = names.text(material.path)
        if material.sha256 is None:
            return MaterialLine(path + "/", None, 0, material.mtime_ns, None)
        material_facts = (path, material.sha256, material.size, material.mtime_ns)
        if version.disposed and material.size:
            return MaterialLine(
                *material_facts, None, LazyMessage("disposed of under certificate {name}", name=version.disposed)
            )
        if reason := self._selection.omission_reason(material.path):
            return MaterialLine(*material_facts, None, reason)
        content_path = self._content_paths[self._content_key(version, material.sha256)]
        document = self._shown_documents.describe(material) if is_listed else None
        return MaterialLine(*material_facts, content_path, health=NOTES.get(material.health), document=document)

    def _content_key(self, version: Version, sha256: str) -> tuple[str, str]:
        return version.tag if self._selection.expand else version.submission.filing, sha256

    def _assign_place(self, version: Version, material: Material) -> None:
        """Copy a content to its first place in the package; materials of later versions refer to this path."""
        if material.sha256 is None or (version.disposed and material.size):
            return
        content_key = self._content_key(version, material.sha256)
        if content_key not in self._content_paths and not self._selection.omission_reason(material.path):
            original_name = b"materials/%s/%s" % (version.tag.encode("utf-8"), material.path)
            payload_name = self._portable_names.path(original_name)
            self._start_copy(payload_name, material)
            self._content_paths[content_key] = f"data/{payload_name}"

    def _start_copy(self, payload_name: str, material: Material) -> None:
        if material.size and material.sha256:
            content_path = os.fspath(self._archive.content.path(material.sha256))
            self._bag_writer.copy_payload(payload_name, content_path, material.size)
        else:
            self._bag_writer.add_payload(payload_name, ())
        self._copied_materials[payload_name] = material
        self.counts.files += 1
        self.counts.bytes += material.size

    def _check_copies(self) -> None:
        """Wait for the copies, and compare their digests with the journal's; raises StorageError."""
        try:
            self._bag_writer.finish_copies()
        except FileNotFoundError as error:
            # The missing file is a content object, whose name is its digest.
            missing_sha256 = os.path.basename(error.filename or "")
            copied_materials = self._copied_materials.values()
            raise self._content_problem(
                next(material for material in copied_materials if material.sha256 == missing_sha256)
            ) from None
        for payload_name, material in self._copied_materials.items():
            if self._bag_writer.sha256(payload_name) != material.sha256:
                raise self._content_problem(material)

    def _content_problem(self, material: Material) -> StorageError:
        return StorageError(
            "The archived content of {path} is missing or damaged, so no package was written. Nothing else "
            "was lost. Run archiver verify, and bring the object {sha256} back from a backup or a clone.",
            path=names.text(material.path),
            sha256=material.sha256,
        )

    # --- journal

    def _write_journal(self, submissions: set[str]) -> list[Event]:
        """Write every event as a line, whose SHA-256 is ``prev`` of the next event, and write the attachments.

        The whole journal goes along, whatever was selected: a chain with gaps proves nothing.
        """
        events: list[Event] = []
        selected_filings = {submission.split("/", 1)[0] for submission in submissions}
        self._bag_writer.add_payload("journal.jsonl", self._event_lines(events.append))
        for event in events:
            if event.action == UNREADABLE:
                event_bytes = self._archive.repository.read(f"{event.commit}:{EVENT_FILE}")
                self._bag_writer.add_payload(f"journal/{event.seq}/{EVENT_FILE}", [event_bytes])
            is_selected_capture = event.action == Action.CAPTURE and event.object.rsplit("/", 1)[0] in submissions
            for attachment in event.attachments:
                is_paper = (
                    attachment.name.startswith(EVIDENCE)
                    and event.object in selected_filings
                    and self._may_show(event)
                )
                is_change_list = is_selected_capture and attachment.name == CHANGES_FILE
                if is_paper or attachment.name in _PROOFS or is_change_list:
                    payload_name = f"journal/{event.seq}/{attachment.name}"
                    self._bag_writer.add_payload(
                        payload_name, [self._archive.journal.attachment(event, attachment.name)]
                    )
                    if is_paper:
                        self.counts.papers[event.seq] = f"data/{payload_name}"
            if event.action in _SIGNED_ACTIONS:
                tag_object = event.refs[f"refs/tags/{event.object}"]
                self._bag_writer.add_payload(f"tags/{event.seq}", [self._archive.repository.read(tag_object)])
        self._bag_writer.add_payload("allowed_signers", [self._archive.signers()])
        return events

    def _may_show(self, event: Event) -> bool:
        """Return True if no pattern leaves out the notice or screenshot of an event, by its given name."""
        return not self._selection.omission_reason(names.raw(given_paper_name(event.details)))

    def _event_lines(self, on_event: Callable[[Event], object]) -> Iterator[bytes]:
        for event, line in self._archive.journal.lines_since(None):
            on_event(event)
            # The bytes of an unreadable event may hold line breaks; they are written to a file of their own.
            is_line = event.action != UNREADABLE
            yield line if is_line else canonical({"seq": event.seq, "unreadable": event.sha256})

    def _write_receipts(self, events: list[Event], tags: set[str]) -> dict[str, tuple[int, str | None]]:
        """Write the receipts of the tagged submissions; return by tag the event number and the path of each."""
        receipt_by_tag: dict[str, tuple[int, str | None]] = {}
        for event in events:
            if event.action != Action.SUBMIT:
                continue
            tag = VersionSubmitted.from_details(event.details).tag
            if tag not in tags:
                continue
            receipt_by_tag[tag] = (event.seq, None)
            for attachment in event.attachments:
                receipt_path = self._portable_names.path(f"submitted/{tag}/{attachment.name}".encode())
                self._bag_writer.add_payload(
                    receipt_path, [self._archive.journal.attachment(event, attachment.name)]
                )
                receipt_by_tag[tag] = (event.seq, f"data/{receipt_path}")
        return receipt_by_tag

    # --- git, coverage

    def _write_bundle(self, versions: list[Version]) -> None:
        """Write a git bundle of the selected refs; with the journal's only if every filing is included.

        The bundle holds all objects that a ref reaches, and the journal's reach the attachments of other filings.
        """
        bundled_refs = {version.submission.branch for version in versions}
        bundled_refs |= {f"refs/tags/{version.tag}" for version in versions}
        bundled_refs |= {f"refs/tags/{record.tag}" for version in versions for record in version.submitted}
        if self._selection.includes_every_filing:
            bundled_refs.add(JOURNAL)
        bundle_path = self._bag_writer.payload_path("repository/archive.bundle")
        bundle_path.parent.mkdir(parents=True, exist_ok=True)
        self._archive.repository.bundle(bundle_path, sorted(bundled_refs))
        self._bag_writer.adopt_payload("repository/archive.bundle")

    def _coverage_record(self) -> dict[str, Any]:
        """Return the time of the last scan of everything, and the paths not archived by then, with reasons."""
        snapshot = Snapshot(Path(self._archive.root, "state.db"), read_only=True)
        try:
            return {
                "compared_at": snapshot.meta("last_scan") or None,
                "not_archived": [self._skipped_entry(item) for item in snapshot.skipped()],
                "pending": [{**self._skipped_entry(item), "since": since} for item, since in snapshot.pending()],
            }
        finally:
            snapshot.close()

    def _skipped_entry(self, item: SkippedPath) -> dict[str, str]:
        reason_texts = {"reason": str(item.reason), "reason_zh": self._presentation.to_chinese(item.reason)}
        return {"path": names.text(item.path), **reason_texts}
