"""Building the inspection package: aside first, then moved into place as a whole."""

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
from archiver.audit.package_writer import Contents
from archiver.audit.report_model import Presentation
from archiver.documents.cache import Cache
from archiver.documents.reader import Reader
from archiver.errors import StorageProblem, UsageProblem
from archiver.existence import is_folder, is_there
from archiver.retention.policy import Policy
from archiver.store import names
from archiver.store.archive import Archive


@dataclass(frozen=True, slots=True)
class Package:
    """What was written."""

    path: Path
    versions: int
    files: int
    bytes: int


def export(
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
    """Write the package to ``target`` (a folder, or a zip file beside it); ``sm3``: with those digests too.
    ``presentation``: how its report speaks; ``sign``: seals the journal, while content is copied already;
    ``copies`` are closed when it is done.

    Raises UsageProblem where the target exists, NotFound where nothing is
    chosen, StorageProblem where it cannot be written; nothing is left then.
    """
    target = Path(os.path.abspath(target))
    final = target.with_name(f"{target.name}.zip") if as_zip else target
    if is_there(final) and (as_zip or not is_folder(final) or any(final.iterdir())):
        raise UsageProblem(
            "{target} is already there. Nothing was written. Name a new or empty folder with --to.",
            target=final,
        )
    versions = selection.versions(archive)
    # What is there by now stays: no collection has to walk through it again.
    gc.freeze()
    aside = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        bag = BagWriter(aside, copies, ("sha256", "sm3") if sm3 else ("sha256",))
        with Reader(Cache(archive.root)) as reader:
            contents = Contents(archive, bag, selection, policy, presentation, reader)
            contents.begin(versions)
            sign()
            contents.write(versions, record)
        if as_zip:
            packed = aside.with_name(aside.name + ".zip")
            _zip(aside, packed, target.name)
            os.rename(packed, final)
        else:
            if is_there(final):
                final.rmdir()
            os.rename(aside, final)
    except OSError as error:
        raise StorageProblem(
            "The package {target} cannot be written ({reason}). Nothing archived was lost and no half package "
            "was left. Make room or name another folder with --to.",
            target=final,
            reason=error.strerror or error,
        ) from None
    finally:
        copies.close()
        shutil.rmtree(aside, ignore_errors=True)
        aside.with_name(aside.name + ".zip").unlink(missing_ok=True)
    return Package(final, len(versions), contents.facts.files, contents.facts.bytes)


def note(package: Package, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal is told of it: what was exported, for whom, and to where."""
    details = {
        "target": names.text(os.fsencode(package.path)),
        "recipient": record["recipient"],
        "reason": record["reason"],
        **record["selection"],
        "versions": package.versions,
    }
    return {"about": "audit", "details": details}


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file of a package; raises OSError for a folder that cannot be listed, which Path.rglob passes over."""

    def fail(error: OSError) -> None:
        raise error

    for place, _, files in os.walk(folder, onerror=fail):
        yield from (Path(place, name) for name in files)


def _zip(folder: Path, packed: Path, top: str) -> None:
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False) as out:
        for file in sorted(_files_below(folder)):
            name = os.fsencode(file.relative_to(folder)).decode("utf-8")
            out.write(file, f"{os.fsencode(top).decode('utf-8', 'replace')}/{name}")
