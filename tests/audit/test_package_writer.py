"""What the writer of a package says of copies that fail."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver.audit.bag import BagWriter
from archiver.audit.copy_pool import CopyPool
from archiver.audit.export_selection import ExportSelection
from archiver.audit.journal_files import JournalFilesWriter, WrittenEvents
from archiver.audit.package_journal import PackageJournalWriter
from archiver.audit.package_writer import PackageWriter
from archiver.audit.portable import PortableNames
from archiver.audit.report_model import Presentation
from archiver.documents.cache import DocumentCache
from archiver.documents.reader import DocumentReader
from archiver.errors import StorageError
from archiver.profiles import DEFAULT, PROFILES
from archiver.retention.policy import RetentionPolicy
from tests.support.site import Site


def check_copies(site: Site, package_folder: Path) -> None:
    with (
        closing(site.open()) as archive,
        closing(CopyPool()) as copy_pool,
        DocumentReader(DocumentCache(archive.root)) as document_reader,
    ):
        package_writer = PackageWriter(
            archive,
            BagWriter(package_folder, copy_pool),
            ExportSelection(),
            RetentionPolicy({"": (PROFILES[DEFAULT],)}, (ZoneInfo("UTC"),), False),
            Presentation("en", str, {}),
            document_reader,
        )
        package_writer.start_copies(archive.index.versions())
        package_writer._finish_and_check_copies()


def test_a_folder_of_the_package_that_is_missing_is_no_missing_content(site: Site) -> None:
    """Nobody can make a folder in /proc, and the system calls that "no such file", as for a folder that vanished."""
    site.write("f/s/a", "1")
    site.catch_up()
    with pytest.raises(FileNotFoundError, match="/proc/package"):
        check_copies(site, Path("/proc/package"))


def test_content_that_is_missing_is_named(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    with closing(site.open()) as archive:
        (material,) = archive.index.materials(archive.index.versions()[0].submission, 1)
        archive.content.path(material.sha256 or "").unlink()
    with pytest.raises(StorageError, match=f"object {material.sha256} of a is missing"):
        check_copies(site, tmp_path / "package")


def test_the_keys_are_those_of_the_events_in_the_package(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is upgraded, or the key is rotated, while the package is written."""
    site.write("f/s/a", "1")
    site.catch_up()
    signers = (site.archive / "keys/allowed_signers").read_bytes()
    write = JournalFilesWriter.write

    def write_before_a_rotation(self: JournalFilesWriter) -> WrittenEvents:
        written = write(self)
        site.run("key", "rotate", "--reason", "yearly")
        return written

    monkeypatch.setattr(JournalFilesWriter, "write", write_before_a_rotation)
    (tmp_path / "package").mkdir()
    with closing(site.open()) as archive, closing(CopyPool()) as copy_pool:
        bag_writer = BagWriter(tmp_path / "package", copy_pool)
        PackageJournalWriter(archive, bag_writer, ExportSelection(), PortableNames()).write({"f/s"})
    assert (site.archive / "keys/allowed_signers").read_bytes() != signers
    assert (tmp_path / "package/data/allowed_signers").read_bytes() == signers
