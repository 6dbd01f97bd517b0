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
from archiver.audit.copy_pool import Copies
from archiver.audit.export_selection import ExportSelection
from archiver.audit.package_writer import PackageWriter
from archiver.audit.report_model import Presentation
from archiver.documents.cache import DocumentCache
from archiver.documents.reader import DocumentReader
from archiver.errors import StorageError, UsageError
from archiver.existence import is_folder, is_there
from archiver.retention.policy import Policy
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import PackageExported


@dataclass(frozen=True, slots=True)
class Package:
    """The package that was written."""

    path: Path
    versions: int
    files: int
    bytes: int


def export_package(
    archive: Archive,
    copies: Copies,
    selection: ExportSelection,
    target: Path,
    policy: Policy,
    record: Mapping[str, Any],
    presentation: Presentation,
    *,
    as_zip: bool = False,
    sm3: bool = False,
    sign: Callable[[], None] = lambda: None,
) -> Package:
    """Write the package to ``target``: a folder, or a zip file beside it.

    ``record``: what ``export.json`` says of the export (see :func:`export_record`); ``sm3``: with SM3 digests too;
    ``sign``: signs a checkpoint of the journal, while content is copied already.  Closes ``copies``.

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
        bag = BagWriter(partial_path, copies, ("sha256", "sm3") if sm3 else ("sha256",))
        with DocumentReader(DocumentCache(archive.root)) as reader:
            writer = PackageWriter(archive, bag, selection, policy, presentation, reader)
            writer.start_copies(versions)
            sign()
            writer.write(versions, record)
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
        copies.close()
        shutil.rmtree(partial_path, ignore_errors=True)
        partial_path.with_name(partial_path.name + ".zip").unlink(missing_ok=True)
    return Package(final_path, len(versions), writer.counts.files, writer.counts.bytes)


def export_note(package: Package, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the note for the journal: what was exported, for whom, and to which place."""
    details = PackageExported(
        target=names.text(os.fsencode(package.path)),
        recipient=record["recipient"],
        reason=record["reason"],
        **record["selection"],
        versions=package.versions,
    )
    return {"action": details.action.value, "about": "audit", "details": details.to_details()}


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield every file of a package; raises OSError for an unlistable folder, which Path.rglob would skip."""

    def fail(error: OSError) -> None:
        raise error

    for place, _, files in os.walk(folder, onerror=fail):
        yield from (Path(place, name) for name in files)


def _write_zip(folder: Path, zip_path: Path, top_name: str) -> None:
    with zipfile.ZipFile(
        zip_path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False
    ) as archive_file:
        for file in sorted(_files_below(folder)):
            name = os.fsencode(file.relative_to(folder)).decode("utf-8")
            archive_file.write(file, f"{os.fsencode(top_name).decode('utf-8', 'replace')}/{name}")
