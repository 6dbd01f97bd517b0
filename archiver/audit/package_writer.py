"""Write the files of an inspection package, in the order in which the verifier reads them.

The same archive and the same selection give the same bytes, except for ``export.json``, which states when, for
whom and by whom the package was created.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from archiver import __version__, clock
from archiver.audit.bag import BagWriter
from archiver.audit.export_selection import ExportSelection
from archiver.audit.package_journal import PackageJournalWriter, WrittenReceipt
from archiver.audit.package_resources import add_resources
from archiver.audit.portable import PortableNames
from archiver.audit.report_model import ExportCounts, MaterialLine, Presentation, VersionLine
from archiver.audit.shown_documents import ShownDocuments
from archiver.audit.version_notes import VersionNotes
from archiver.documents.integrity import DEFECTS
from archiver.documents.reader import DocumentReader
from archiver.errors import LazyMessage, StorageError
from archiver.intake.scan_record import read_last_scan
from archiver.intake.snapshot import SkippedPath
from archiver.intake.snapshot_opening import open_snapshot_read_only
from archiver.model import Event, Material, Version
from archiver.naming.named_documents import add_readable_names
from archiver.retention.policy import RetentionPolicy, decide_retention
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.git.repository import JOURNAL
from archiver.store.index.restrictions import place_of_material, restrictions_by_place


class _ContentKey(NamedTuple):
    """The digest of a content, and the owner of its copy in the package: a filing or a version."""

    owner: str  # the name of the filing, or the tag of the version if the selection repeats content
    sha256: str


class PackageWriter:
    """Writes one package into a bag: call :meth:`start_copies`, then :meth:`write`, each once."""

    def __init__(
        self,
        archive: Archive,
        bag_writer: BagWriter,
        selection: ExportSelection,
        policy: RetentionPolicy,
        presentation: Presentation,
        document_reader: DocumentReader,
    ) -> None:
        """Prepare to write into ``bag_writer``; the caller closes ``document_reader``.

        ``policy`` decides the retention that the report shows, and ``presentation`` how the report looks.
        """
        self._archive = archive
        self._bag_writer = bag_writer
        self._selection = selection
        self._portable_names = PortableNames()
        self._policy = policy
        self._presentation = presentation
        self._document_reader = document_reader
        self._version_notes = VersionNotes(archive.index)
        self._restriction_by_place = restrictions_by_place(archive.index)
        self._shown_documents = ShownDocuments(archive.content, document_reader)
        #: Content and owner -> path of the copy in the package, with ``data/``.
        self._content_paths: dict[_ContentKey, str] = {}
        #: Path of each copy, without ``data/`` -> a material with the content.
        self._copied_materials: dict[str, Material] = {}
        self.counts = ExportCounts(reading_outcomes=self._shown_documents.outcome_counts)

    def start_copies(self, versions: list[Version]) -> None:
        """Begin to copy the contents of ``versions``, oldest first; :meth:`write` waits for the copies."""
        for version in versions:
            for material in self._archive.index.materials(version.submission, version.number):
                self._start_first_copy(version, material)

    def write(self, versions: list[Version], export_json: Mapping[str, Any]) -> None:
        """Write everything except the contents, wait for the copies, and finish the bag.

        ``versions`` are the same as for :meth:`start_copies`; ``export_json`` is the content of ``export.json``.

        Raises StorageError if content is missing or damaged, OSError if the disk cannot take the package.
        """
        retention_time = self._read_retention_time()
        listed_tags = _find_listed_tags(versions)
        version_lines = [
            self._write_version(version, version.tag in listed_tags, retention_time) for version in versions
        ]
        journal_writer = PackageJournalWriter(
            self._archive, self._bag_writer, self._selection, self._portable_names
        )
        journal = journal_writer.write({version.submission.ref_name for version in versions})
        events = journal.events
        self.counts.paper_paths.update(journal.paper_paths)
        self.counts.signed_heads = journal.signed_heads
        submitted_tags = {record.tag for version in versions for record in version.submitted}
        receipt_by_tag = journal_writer.write_receipts(events, submitted_tags)
        version_documents = [self._describe_version(version, receipt_by_tag) for version in versions]
        self._add_json("versions.json", add_readable_names(version_documents))
        self._write_bundle(versions)
        coverage_record = self._build_coverage_record()
        self._add_json("coverage.json", coverage_record)
        self._add_json("names.json", self._portable_names.describe_replacements())
        report_page = self._render_report(version_lines, events, coverage_record)
        self._bag_writer.add_tag_file("report.html", report_page.encode("utf-8"))
        add_resources(self._bag_writer, is_format_1=journal.signed_heads is None)
        self._bag_writer.add_tag_file("export.json", encode_canonical(add_readable_names(export_json)))
        self._finish_and_check_copies()
        self._finish_bag(len(versions), events[-1])

    def _read_retention_time(self) -> datetime:
        """Return the compliance clock's time at the newest event, for which the report shows the retention.

        With the present time, every export of the same archive would give a different package.
        """
        newest_event = self._archive.journal.newest_event()
        return clock.parse_time(newest_event.clock["time"]) if newest_event else self._archive.compliance_time()

    def _render_report(
        self, version_lines: list[VersionLine], events: list[Event], coverage_record: dict[str, Any]
    ) -> str:
        """Render the report as HTML."""
        # The import takes a while, so it happens here, while the content is being copied.
        from archiver.audit.report import PackageReport

        report = PackageReport(
            self._archive, self._policy, self._presentation, self._selection.omission_reason, self._document_reader
        )
        return report.render(version_lines, events, coverage_record, self.counts)

    def _add_json(self, payload_name: str, document: Any) -> None:
        """Write ``document`` as canonical JSON to ``data/<payload_name>``; raises OSError."""
        self._bag_writer.add_payload(payload_name, [encode_canonical(document)])

    def _finish_bag(self, version_count: int, newest_event: Event) -> None:
        """Finish the bag.  The newest event determines the identifier and the date of the bag."""
        self._bag_writer.finish(
            {
                "Source-Organization": "archiver",
                "Bag-Software-Agent": f"archiver {__version__}",
                # The day is the beginning of an RFC 3339 time.
                "Bagging-Date": newest_event.at[:10],
                "External-Identifier": f"{self._archive.index.archive_id}-{newest_event.seq}",
                "External-Description": f"{version_count} versions of filing materials",
            }
        )

    # --- versions

    def _write_version(self, version: Version, is_listed: bool, retention_time: datetime) -> VersionLine:
        """Write the list of a version's materials, and return the version in the form for the report.

        The report describes the materials only if ``is_listed`` is set.  Retention is decided for the time
        ``retention_time``.
        """
        material_lines = [
            self._version_notes.mark(version, material, self._describe_material(version, material, is_listed))
            for material in self._archive.index.materials(version.submission, version.number)
        ]
        list_bytes = b"".join(
            encode_canonical(
                {
                    "path": material_line.path,
                    "sha256": material_line.sha256,
                    "size": material_line.size,
                    "mtime_ns": material_line.mtime_ns,
                    "file": material_line.content_path,
                    "why": str(material_line.omission_reason) if material_line.omission_reason else None,
                }
            )
            for material_line in material_lines
        )
        self._bag_writer.add_payload(self._material_list_name(version), [list_bytes])
        return VersionLine(
            version,
            decide_retention(version, self._policy, retention_time),
            material_lines if is_listed else [],
            f"data/{self._material_list_name(version)}",
            self._version_notes.files_by_tag,
        )

    def _material_list_name(self, version: Version) -> str:
        """Return the payload name of the list of a version's materials."""
        return f"versions/{self._portable_names.assign_path(version.tag.path_in_packages)}.jsonl"

    def _describe_version(self, version: Version, receipt_by_tag: Mapping[str, WrittenReceipt]) -> dict[str, Any]:
        """Return the JSON object for a version in ``versions.json``, which the verifier reads.

        ``receipt_by_tag`` must have an entry for the signed tag of each submission of the version.
        """
        return {
            "tag": version.tag,
            "list": f"data/{self._material_list_name(version)}",
            "captured_at": version.captured_at,
            "commit": version.commit,
            **self._version_notes.describe(version.tag),
            "submitted": [
                self._version_notes.describe_submission(record, receipt_by_tag[record.tag])
                for record in version.submitted
            ],
        }

    def _describe_material(self, version: Version, material: Material, is_listed: bool) -> MaterialLine:
        """Return a material in the form for the package; reads its document only if ``is_listed`` is set."""
        path = names.name_as_text(material.path)
        if material.sha256 is None:
            return MaterialLine(f"{path}/", None, 0, material.mtime_ns, None)
        omission_reason = self._omission_reason(version, material)
        if omission_reason is not None:
            return MaterialLine(path, material.sha256, material.size, material.mtime_ns, None, omission_reason)
        return MaterialLine(
            path,
            material.sha256,
            material.size,
            material.mtime_ns,
            self._content_paths[self._make_content_key(version, material.sha256)],
            defect=DEFECTS.get(material.health),
            document=self._shown_documents.describe_document(material) if is_listed else None,
        )

    def _omission_reason(self, version: Version, material: Material) -> LazyMessage | None:
        """Return the reason why the package lacks a material's content; None if it has the content.

        A restriction is named before a pattern of the selection, because the verifier finds restrictions in the
        journal.  The package has an empty material even after a disposal, because nothing had to be deleted.
        """
        if version.disposed and material.size:
            return LazyMessage("disposed of under certificate {name}", name=version.disposed)
        restriction = self._restriction_by_place.get(place_of_material(version, material))
        if restriction is not None:
            return LazyMessage("restricted: {reason}", reason=restriction.reason)
        return self._selection.omission_reason(material.path)

    def _make_content_key(self, version: Version, sha256: str) -> _ContentKey:
        """Return the key of the copy that ``version`` refers to for the content ``sha256``."""
        owner = version.tag if self._selection.repeats_content else version.submission.filing
        return _ContentKey(owner, sha256)

    def _start_first_copy(self, version: Version, material: Material) -> None:
        """Begin to copy a material's content into the package, unless a copy for the same owner was begun before.

        Does nothing for an empty folder, or for content to leave out.  The lists of materials of all versions of
        the owner refer to this first copy.
        """
        if material.sha256 is None:
            return
        content_key = self._make_content_key(version, material.sha256)
        if content_key not in self._content_paths and self._omission_reason(version, material) is None:
            original_name = b"materials/%s/%s" % (version.tag.path_in_packages, material.path)
            payload_name = self._portable_names.assign_path(original_name)
            self._add_content(payload_name, material, material.sha256)
            self._content_paths[content_key] = f"data/{payload_name}"

    def _add_content(self, payload_name: str, material: Material, sha256: str) -> None:
        """Begin to copy the content of ``material`` into the bag, and count the content.

        The archive stores no object for an empty material, so an empty payload is written at once.
        """
        if material.size == 0:
            self._bag_writer.add_payload(payload_name, ())
        else:
            content_path = os.fspath(self._archive.content.path(sha256))
            self._bag_writer.copy_payload(payload_name, content_path, material.size)
        self._copied_materials[payload_name] = material
        self.counts.content_count += 1
        self.counts.content_bytes += material.size

    def _finish_and_check_copies(self) -> None:
        """Wait for the copies, and compare their digests with those in the journal.

        Raises StorageError if content is missing or has another digest, OSError if a copy failed otherwise.
        """
        try:
            self._bag_writer.finish_copies()
        except FileNotFoundError as error:
            # The missing file may be a content object, whose name is the digest, or a folder of the package.
            missing_sha256 = os.path.basename(error.filename or "")
            for material in self._copied_materials.values():
                if material.sha256 == missing_sha256:
                    raise self._build_content_error(material) from None
            raise
        for payload_name, material in self._copied_materials.items():
            if self._bag_writer.payload_sha256(payload_name) != material.sha256:
                raise self._build_content_error(material)

    def _build_content_error(self, material: Material) -> StorageError:
        """Build the error for a material whose content is missing or damaged."""
        return StorageError(
            "The object {sha256} of {path} is missing or damaged; no inspection package was written. Restore the "
            "object from a backup or a clone. To list all findings, run: archiver verify",
            path=names.name_as_text(material.path),
            sha256=material.sha256,
        )

    # --- git, coverage

    def _write_bundle(self, versions: list[Version]) -> None:
        """Write a git bundle with the refs of ``versions``.

        The journal's ref is included only if every filing is selected, because a bundle contains all objects that
        its refs reach, and the journal's ref reaches the attachments of all filings.
        """
        bundled_refs = {version.submission.branch for version in versions}
        bundled_refs |= {f"refs/tags/{version.tag}" for version in versions}
        bundled_refs |= {f"refs/tags/{record.tag}" for version in versions for record in version.submitted}
        if self._selection.includes_every_filing:
            bundled_refs.add(JOURNAL)
        bundle_path = self._bag_writer.payload_path("repository/archive.bundle")
        bundle_path.parent.mkdir(parents=True, exist_ok=True)
        self._archive.repository.bundle(bundle_path, sorted(bundled_refs))
        self._bag_writer.add_written_payload("repository/archive.bundle")

    def _build_coverage_record(self) -> dict[str, Any]:
        """Build the content of ``coverage.json``: the paths in the watched folder that are not archived.

        ``compared_at`` is the time of the last scan of the whole folder; None before the first scan.
        """
        snapshot = open_snapshot_read_only(self._archive)
        try:
            return {
                "compared_at": read_last_scan(snapshot, self._archive.root).time or None,
                "not_archived": [self._describe_skipped_path(skipped_path) for skipped_path in snapshot.skipped()],
                "pending": [
                    {**self._describe_skipped_path(pending_path), "since": pending_since}
                    for pending_path, pending_since in snapshot.pending_entries()
                ],
            }
        finally:
            snapshot.close()

    def _describe_skipped_path(self, skipped_path: SkippedPath) -> dict[str, str]:
        """Return the JSON object for a path in ``coverage.json``, with the reason in English and in Chinese."""
        reason = skipped_path.reason
        return {
            "path": names.name_as_text(skipped_path.path),
            "reason": str(reason),
            "reason_zh": self._presentation.to_chinese(reason),
        }


def _find_listed_tags(versions: list[Version]) -> set[str]:
    """Return the tags of the versions whose materials the report lists.

    These are the submitted versions and the newest version of each submission.  ``versions`` are oldest first.
    """
    # In the dictionary, a later version replaces an earlier version of the same submission.
    newest_versions = {version.submission: version for version in versions}
    submitted_tags = {version.tag for version in versions if version.submitted}
    return submitted_tags | {version.tag for version in newest_versions.values()}
