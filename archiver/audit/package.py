"""Build an inspection package under a temporary name, then move the whole into place."""

from __future__ import annotations

import gc
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.audit.bag import BagWriter
from archiver.audit.copy_pool import CopyPool
from archiver.audit.export_selection import ExportSelection
from archiver.audit.package_writer import PackageWriter
from archiver.audit.report_model import Presentation
from archiver.documents.cache import DocumentCache
from archiver.documents.reader import DocumentReader
from archiver.errors import StorageError, UsageError
from archiver.path_existence import is_folder, is_there
from archiver.retention.policy import Policy
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import PackageExported


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """The path and the counts of a finished package."""

    path: Path
    version_count: int
    file_count: int
    byte_count: int


def export_package(
    archive: Archive,
    copy_pool: CopyPool,
    selection: ExportSelection,
    target: Path,
    policy: Policy,
    record: Mapping[str, Any],
    presentation: Presentation,
    *,
    as_zip: bool = False,
    sm3: bool = False,
    sign_journal: Callable[[], None] = lambda: None,
) -> WrittenPackage:
    """Write the package to ``target``: a folder, or a zip file beside it.

    ``record``: the content of ``export.json`` (see :func:`export_record`); ``sm3``: with SM3 digests too;
    ``sign_journal``: signs a checkpoint of the journal, while content is copied already.  Closes ``copy_pool``.

    Raises UsageError if the target exists, NotFoundError if nothing is selected, StorageError if the package
    cannot be written; nothing is left then.
    """
    target = Path(os.path.abspath(target))
    final_path = target.with_name(f"{target.name}.zip") if as_zip else target
    if is_there(final_path) and (as_zip or not is_folder(final_path) or any(final_path.iterdir())):
        raise UsageError(
            "{target} is already there. Nothing was written. Name a new or empty folder with --to.",
            target=final_path,
        )
    versions = selection.versions(archive)
    # Modules and settings stay to the end: no garbage collection has to walk through them again.
    gc.freeze()
    partial_path = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial_path.mkdir(parents=True)
        bag_writer = BagWriter(partial_path, copy_pool, ("sha256", "sm3") if sm3 else ("sha256",))
        with DocumentReader(DocumentCache(archive.root)) as document_reader:
            package_writer = PackageWriter(archive, bag_writer, selection, policy, presentation, document_reader)
            package_writer.start_copies(versions)
            sign_journal()
            package_writer.write(versions, record)
        if as_zip:
            zip_path = partial_path.with_name(partial_path.name + ".zip")
            _write_zip(partial_path, zip_path, target.name)
            os.rename(zip_path, final_path)
        else:
            if is_there(final_path):
                final_path.rmdir()
            os.rename(partial_path, final_path)
    except OSError as error:
        raise StorageError(
            "The package {target} cannot be written ({reason}). Nothing archived was lost and no half package "
            "was left. Make room or name another folder with --to.",
            target=final_path,
            reason=error.strerror or error,
        ) from None
    finally:
        copy_pool.close()
        shutil.rmtree(partial_path, ignore_errors=True)
        partial_path.with_name(partial_path.name + ".zip").unlink(missing_ok=True)
    return WrittenPackage(final_path, len(versions), package_writer.counts.files, package_writer.counts.bytes)


def export_note(written_package: WrittenPackage, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the journal's note: the selection, the recipient, the reason and the target."""
    exported_event = PackageExported(
        target=names.text(os.fsencode(written_package.path)),
        recipient=record["recipient"],
        reason=record["reason"],
        **record["selection"],
        versions=written_package.version_count,
    )
    return {"action": exported_event.action.value, "about": "audit", "details": exported_event.to_details()}


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield every file of a package; raises OSError for an unlistable folder, which Path.rglob would skip."""

    def raise_error(error: OSError) -> None:
        raise error

    for subfolder, _, file_names in os.walk(folder, onerror=raise_error):
        yield from (Path(subfolder, name) for name in file_names)


def _write_zip(folder: Path, zip_path: Path, top_name: str) -> None:
    with zipfile.ZipFile(
        zip_path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False
    ) as archive_file:
        for file_path in sorted(_files_below(folder)):
            relative_name = os.fsencode(file_path.relative_to(folder)).decode("utf-8")
            archive_file.write(file_path, f"{os.fsencode(top_name).decode('utf-8', 'replace')}/{relative_name}")
