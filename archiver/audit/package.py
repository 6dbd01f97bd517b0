"""Building the inspection package: aside first, then moved into place as a whole."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from archiver import __version__, clock
from archiver.audit.bag import BagWriter
from archiver.audit.page import MaterialLine, VersionLine, render
from archiver.audit.portable import PortableNames
from archiver.documents import pdf
from archiver.errors import NotFound, StorageProblem, UsageProblem
from archiver.model import Event, Material, Version
from archiver.retention.policy import Policy, decide
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.journal import EVENT_FILE, canonical


@dataclass(frozen=True, slots=True)
class Selection:
    """Which versions go into the package; ``since`` and ``until`` are capture times, UTC."""

    filings: Sequence[str] = ()
    since: str = ""
    until: str = ""

    def versions(self, archive: Archive) -> list[Version]:
        """The chosen versions, oldest first; raises NotFound where none is."""
        chosen = [
            version
            for version in reversed(archive.index.versions())
            if (not self.filings or version.submission.filing in self.filings)
            and version.captured_at >= self.since
            and (not self.until or version.captured_at <= self.until)
        ]
        if not chosen:
            raise NotFound(
                "No version fits this choice of filings and dates, so no package was written. "
                "See what there is with: archiver log"
            )
        return chosen


@dataclass(frozen=True, slots=True)
class Package:
    """What was written."""

    path: Path
    versions: int
    files: int
    bytes: int


def export(
    archive: Archive,
    selection: Selection,
    target: Path,
    policy: Policy,
    now: datetime,
    as_zip: bool,
    sm3: bool = False,
) -> Package:
    """Write the package to ``target`` (a folder, or a zip file beside it); ``sm3``: with those digests too.

    Raises UsageProblem where the target exists, NotFound where nothing is
    chosen, StorageProblem where it cannot be written; nothing is left then.
    """
    target = Path(os.path.abspath(target))
    final = target.with_name(f"{target.name}.zip") if as_zip else target
    if final.exists() and (as_zip or not final.is_dir() or any(final.iterdir())):
        raise UsageProblem(
            "{target} is already there. Nothing was written. Name a new or empty folder with --to.",
            target=final,
        )
    versions = selection.versions(archive)
    aside = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        package = _Builder(archive, aside, policy, now, sm3).build(versions)
        if as_zip:
            packed = aside.with_name(aside.name + ".zip")
            _zip(aside, packed, target.name)
            os.rename(packed, final)
        else:
            if final.exists():
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
        shutil.rmtree(aside, ignore_errors=True)
        aside.with_name(aside.name + ".zip").unlink(missing_ok=True)
    return Package(final, len(versions), *package)


def note(package: Package, selection: Selection) -> dict[str, Any]:
    """What the journal is told of it: what was exported, and to where."""
    details = {
        "target": names.text(os.fsencode(package.path)),
        "filings": list(selection.filings),
        "since": selection.since,
        "until": selection.until,
        "versions": package.versions,
    }
    return {"about": "audit", "details": details}


class _Builder:
    def __init__(self, archive: Archive, root: Path, policy: Policy, now: datetime, sm3: bool) -> None:
        self._archive = archive
        self._bag = BagWriter(root, ("sha256", "sm3") if sm3 else ("sha256",))
        self._names = PortableNames()
        self._policy = policy
        self._now = now
        self._placed: dict[tuple[str, str], str] = {}
        self._counted: dict[str, str] = {}
        self._files = 0
        self._bytes = 0

    def build(self, versions: list[Version]) -> tuple[int, int]:
        lines = [self._version(version) for version in versions]
        events = self._journal()
        self._receipts(events, {submitted.tag for version in versions for submitted in version.submitted})
        mapping = {portable: names.text(raw) for portable, raw in sorted(self._names.replaced.items())}
        self._bag.add_payload("names.json", [canonical(mapping)])
        exported = clock.stamp(clock.read().wall)
        self._bag.add_tag_file("index.html", render(lines, exported, self._policy).encode("utf-8"))
        self._bag.finish(
            {
                "Source-Organization": "archiver",
                "Bag-Software-Agent": f"archiver {__version__}",
                "Bagging-Date": exported[:10],
                "External-Description": f"{len(versions)} versions of filing materials",
            }
        )
        return self._files, self._bytes

    def _version(self, version: Version) -> VersionLine:
        materials = [
            self._material(version, material)
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
                }
            )
            for line in materials
        )
        self._bag.add_payload(f"versions/{self._folder(version)}.jsonl", [rows])
        return VersionLine(version, decide(version, self._policy, self._now), materials)

    def _folder(self, version: Version) -> str:
        return self._names.path(version.tag.encode("utf-8"))

    def _material(self, version: Version, material: Material) -> MaterialLine:
        """Each content is stored once, where it first appears; later versions point there."""
        shown = names.text(material.path)
        if material.sha256 is None:
            return MaterialLine(shown + "/", None, 0, material.mtime_ns, None, "")
        if version.disposed and material.size:
            return MaterialLine(shown, material.sha256, material.size, material.mtime_ns, None, "")
        key = (version.submission.filing, material.sha256)
        if key not in self._placed:
            name = self._names.path(b"materials/%s/%s" % (version.tag.encode("utf-8"), material.path))
            self._copy(name, material)
            self._placed[key] = f"data/{name}"
        pages = self._pages(material.path, material.sha256) if material.size else ""
        return MaterialLine(shown, material.sha256, material.size, material.mtime_ns, self._placed[key], pages)

    def _copy(self, name: str, material: Material) -> None:
        chunks = self._archive.content.chunks(material.sha256 or "") if material.size else iter(())
        try:
            self._bag.add_payload(name, chunks)
        except FileNotFoundError:
            raise self._damaged(material) from None
        if self._bag.sha256(name) != material.sha256:
            raise self._damaged(material)
        self._files += 1
        self._bytes += material.size

    def _damaged(self, material: Material) -> StorageProblem:
        return StorageProblem(
            "The archived content of {path} is missing or damaged, so no package was written. Nothing else "
            "was lost. Run archiver verify, and bring the object {sha256} back from a backup or a clone.",
            path=names.text(material.path),
            sha256=material.sha256,
        )

    def _pages(self, path: bytes, sha256: str) -> str:
        """Pages of a PDF, or why they cannot be told; each content is parsed once."""
        if not path.lower().endswith(b".pdf"):
            return ""
        if sha256 not in self._counted:
            found = pdf.facts(self._archive.content.path(sha256))
            self._counted[sha256] = found.problem if found.pages is None else str(found.pages)
        return self._counted[sha256]

    def _journal(self) -> list[Event]:
        """Every event as one line: the SHA-256 of a line is ``prev`` of the next.

        Returns the events of handing-ins, whose receipts may belong into the package.
        """
        submits: list[Event] = []
        self._bag.add_payload("journal.jsonl", self._lines(submits))
        signers = self._archive.keys / "allowed_signers"
        self._bag.add_payload("allowed_signers", [signers.read_bytes()])
        return submits

    def _lines(self, submits: list[Event]) -> Iterator[bytes]:
        for event in self._archive.journal.since(None):
            if event.action == "submit":
                submits.append(event)
            yield self._archive.repository.read(f"{event.commit}:{EVENT_FILE}")

    def _receipts(self, submits: list[Event], tags: set[str]) -> None:
        for event in submits:
            if event.details["tag"] not in tags:
                continue
            for item in event.attachments:
                path = f"submitted/{event.details['tag']}/{item.name}"
                self._bag.add_payload(
                    self._names.path(path.encode("utf-8")),
                    [self._archive.journal.attachment(event, item.name)],
                )


def _zip(folder: Path, packed: Path, top: str) -> None:
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False) as out:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = os.fsencode(file.relative_to(folder)).decode("utf-8")
            out.write(file, f"{os.fsencode(top).decode('utf-8', 'replace')}/{name}")
