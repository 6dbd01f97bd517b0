"""Build an inspection package under a temporary name, then move it into place as a whole."""

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
from archiver.documents.cache import open_document_cache
from archiver.documents.reader import DocumentReader
from archiver.errors import StorageError, UsageError
from archiver.path_existence import is_folder, is_there
from archiver.retention.policy import RetentionPolicy
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import PackageExported


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """A finished package."""

    path: Path  # of the folder or of the zip file
    version_count: int
    file_count: int  # copied contents
    byte_count: int  # total size of these contents
    filing_names: tuple[str, ...]  # the filings of the versions, as in refs, sorted


def export_package(
    archive: Archive,
    copy_pool: CopyPool,
    selection: ExportSelection,
    target: Path,
    policy: RetentionPolicy,
    export_json: Mapping[str, Any],
    presentation: Presentation,
    *,
    as_zip: bool = False,
    sm3: bool = False,
    sign_journal: Callable[[], None] = lambda: None,
) -> WrittenPackage:
    """Write a package of the selected versions to the folder ``target``, or to the zip file ``<target>.zip``.

    ``export_json`` is the content of ``export.json`` (see :func:`build_export_record`).  With ``sm3``, the
    package has SM3 manifests, too.  ``sign_journal`` signs a checkpoint, and is called while the content is being
    copied.

    Raises UsageError if the target exists and is not an empty folder, and NotFoundError if no version is selected.
    After these two errors, the caller has to close ``copy_pool``; otherwise the pool is closed on return.  Raises
    StorageError if content is missing or damaged, or if the package cannot be written.  No part of a package
    remains after an error.
    """
    target = Path(os.path.abspath(target))
    final_path = target.with_name(f"{target.name}.zip") if as_zip else target
    _check_target_is_free(final_path, as_zip)
    versions = selection.select_versions(archive)
    # Most objects that exist now, such as modules, live until the process ends. Exempt these from garbage
    # collection, which would otherwise go through all of them again and again.
    gc.freeze()
    partial_path = target.with_name(f".{target.name}.partial-{os.getpid()}")
    partial_zip_path = partial_path.with_name(f"{partial_path.name}.zip")
    try:
        partial_path.mkdir(parents=True)
        bag_writer = BagWriter(partial_path, copy_pool, ("sha256", "sm3") if sm3 else ("sha256",))
        with DocumentReader(open_document_cache(archive)) as document_reader:
            package_writer = PackageWriter(archive, bag_writer, selection, policy, presentation, document_reader)
            package_writer.start_copies(versions)
            sign_journal()
            package_writer.write(versions, export_json)
        if as_zip:
            _write_zip(partial_path, partial_zip_path, target.name)
            os.rename(partial_zip_path, final_path)
        else:
            _replace_empty_folder(final_path, partial_path)
    except OSError as error:
        raise StorageError(
            "Cannot write the inspection package {target} ({reason}). No archived data was lost. No partial "
            "package remains. Free up space, or choose another folder with --to.",
            target=final_path,
            reason=error.strerror or error,
        ) from None
    finally:
        copy_pool.close()
        shutil.rmtree(partial_path, ignore_errors=True)
        partial_zip_path.unlink(missing_ok=True)
    return WrittenPackage(
        final_path,
        len(versions),
        package_writer.counts.content_count,
        package_writer.counts.content_bytes,
        tuple(sorted({version.submission.filing for version in versions})),
    )


def _check_target_is_free(final_path: Path, as_zip: bool) -> None:
    """Raise UsageError if ``final_path`` exists; an empty folder is accepted unless ``as_zip`` is set."""
    if is_there(final_path) and (as_zip or not is_folder(final_path) or any(final_path.iterdir())):
        raise UsageError(
            "{target} already exists. Nothing was changed. Name a new or empty folder with --to.",
            target=final_path,
        )


def _replace_empty_folder(final_path: Path, finished_path: Path) -> None:
    """Move the folder ``finished_path`` to ``final_path``, and replace an empty folder there; raises OSError."""
    if is_there(final_path):
        final_path.rmdir()
    os.rename(finished_path, final_path)


def build_export_note_arguments(written_package: WrittenPackage, export_json: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the ``RecordNote`` request that journals an export.

    ``export_json`` is the content of ``export.json``, which must have the keys recipient, reason and selection.
    """
    export_details = PackageExported(
        target=names.name_as_text(os.fsencode(written_package.path)),
        recipient=export_json["recipient"],
        reason=export_json["reason"],
        **export_json["selection"],
        versions=written_package.version_count,
    )
    return {
        "action": export_details.action.value,
        "about": "audit",
        "details": export_details.to_details(),
        "filings": written_package.filing_names,
    }


def _list_files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below ``folder``, at any depth.

    Raises OSError for a folder that cannot be listed.  Path.rglob would skip such a folder, and the zip file would
    lack the files in it.
    """

    def raise_error(error: OSError) -> None:
        raise error

    for subfolder, _, file_names in os.walk(folder, onerror=raise_error):
        yield from (Path(subfolder, file_name) for file_name in file_names)


def _write_zip(folder: Path, zip_path: Path, top_folder_name: str) -> None:
    """Write all files below ``folder`` to a new zip file, in a folder ``top_folder_name``; raises OSError.

    Names in the zip file are encoded as UTF-8 whatever the locale is.  Bytes of ``top_folder_name`` that are not
    UTF-8 become U+FFFD.
    """
    readable_folder_name = os.fsencode(top_folder_name).decode("utf-8", "replace")
    # A zip file cannot store a time before 1980. strict_timestamps=False changes it to 1980 instead of failing.
    with zipfile.ZipFile(
        zip_path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False
    ) as zip_file:
        for file_path in sorted(_list_files_below(folder)):
            relative_name = os.fsencode(file_path.relative_to(folder)).decode("utf-8")
            zip_file.write(file_path, f"{readable_folder_name}/{relative_name}")
