"""What the writer of a package says of copies that fail."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver.audit.bag import BagWriter
from archiver.audit.copy_pool import CopyPool
from archiver.audit.export_selection import ExportSelection
from archiver.audit.package_writer import PackageWriter
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
