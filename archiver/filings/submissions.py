"""Recording that a version was handed in to the regulator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from archiver.errors import LazyMessage, SubmissionRefused, UsageError
from archiver.filings.evidence_file import EvidenceFile
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.submission_kinds import kind_from_folder
from archiver.model import COMMON, KINDS, Event, Material, Submission, Version
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.attached_files import RECEIPT
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.journal import canonical
from archiver.store.writer import Draft


@dataclass(frozen=True, slots=True)
class HandingIn:
    """What a person says about a handing-in.

    ``on`` is the day on the regulator's portal; retention never counts from it.
    ``kind`` None: told from the folder's name.
    """

    on: date
    kind: str | None = None
    number: str | None = None
    receipt: EvidenceFile | None = None
    by: str | None = None
    #: Why a number of another form is taken all the same.
    forced: str | None = None
    #: Why just this version is signed.
    reason: str | None = None


def submit(
    archive: Archive, version: Version, handing_in: HandingIn, wait_seconds: float, sm3: bool = False
) -> Event:
    """Seal ``version``: signed tag, receipt, manifest digest (``sm3``: both kinds), one journal event.

    Raises UsageError for a number or kind that cannot be, Busy and
    StorageError as :meth:`Archive.writing` does; nothing is recorded then.
    """
    if handing_in.number is not None and not handing_in.forced:
        detect_scheme(handing_in.number)
    if handing_in.kind not in (None, *KINDS):
        raise UsageError(
            "{kind} is not a kind of submission. Nothing was recorded. The kinds are: {known}",
            kind=handing_in.kind,
            known=", ".join(KINDS),
        )
    receipt = handing_in.receipt
    with archive.writing(wait_seconds) as writer:
        tag = _next_tag(archive, version.submission)
        digests = manifest_digests(archive.index.materials(version.submission, version.number), sm3)
        submitted = _submitted(archive, version, handing_in, tag, digests)
        message = f"{version.tag} submitted on {handing_in.on.isoformat()} ({submitted.kind})\n"
        attached = {} if receipt is None else {receipt.journal_name(RECEIPT): receipt.stream}
        return writer.append(Draft(tag, submitted, attached), (tag, version.commit, message))


def check_whole(archive: Archive, version: Version) -> None:
    """Check that ``version`` has materials, and that the archive still has each of them byte for byte.

    A signature cannot be taken back, so everything is read before.  Raises SubmissionRefused.
    """
    if not version.files:
        raise _empty(archive, version)
    contents = {m.sha256: m for m in archive.index.materials(version.submission, version.number) if m.size}
    damaged = [m for sha256, m in contents.items() if sha256 and not archive.content.is_intact(sha256, m.size)]
    if not damaged:
        return
    if version.disposed:
        raise SubmissionRefused(
            "The content of {tag} was disposed of under certificate {certificate}. Nothing was recorded. "
            "To sign the version all the same, say why: archiver submit {name!q} --version {number!q} "
            "--reason TEXT",
            tag=version.tag,
            certificate=version.disposed,
            name=str(version.submission),
            number=version.number,
        )
    raise SubmissionRefused(
        LazyMessage.define(
            "The archive has lost the content of {count} materials of {tag}, or it is damaged; the "
            "first is {path}. Nothing was recorded. Look with archiver verify, and bring the content "
            "back from the off-site copy or a backup. To sign the version all the same, say why: "
            "archiver submit {name!q} --version {number!q} --reason TEXT",
            singular="The archive has lost the content of {count} material of {tag}, or it is damaged: "
            "{path}. Nothing was recorded. Look with archiver verify, and bring the content back "
            "from the off-site copy or a backup. To sign the version all the same, say why: archiver "
            "submit {name!q} --version {number!q} --reason TEXT",
        ),
        count=len(damaged),
        tag=version.tag,
        path=names.text(damaged[0].path),
        name=str(version.submission),
        number=version.number,
    )


def _empty(archive: Archive, version: Version) -> SubmissionRefused:
    submission = version.submission
    older = (v.number for v in archive.index.versions(submission.filing, submission.name) if v.files)
    return SubmissionRefused(
        "{tag} holds no material. Nothing was recorded. If an earlier version was handed in, name it: archiver "
        "submit {name!q} --version {older!q}. To sign {tag} all the same, say why: --version {number!q} "
        "--reason TEXT",
        tag=version.tag,
        name=str(submission),
        older=next((number for number in older if number < version.number), "N"),
        number=version.number,
    )


def _submitted(
    archive: Archive, version: Version, handing_in: HandingIn, tag: str, manifest: ManifestDigests
) -> VersionSubmitted:
    """Return the event: the version, the day and kind on the portal, the digests of its manifest."""
    common = Submission(version.submission.filing, COMMON)
    beside = None if version.submission == common else archive.index.latest(common)
    receipt = handing_in.receipt
    return VersionSubmitted(
        version=version.tag,
        tag=tag,
        submitted_on=handing_in.on,
        kind=handing_in.kind or kind_from_folder(version.submission.folder),
        number=handing_in.number,
        number_reason=handing_in.forced or None,
        reason=handing_in.reason or None,
        reported_by=handing_in.by,
        receipt=None if receipt is None else receipt.display_name,
        common=beside.tag if beside else None,
        manifest_sha256=manifest.sha256,
        manifest_sm3=manifest.sm3,
    )


@dataclass(frozen=True, slots=True)
class ManifestDigests:
    """The digests of a version's manifest; ``sm3`` where the configuration asks for it."""

    sha256: str
    sm3: str | None


def manifest_digests(materials: Iterable[Material], sm3: bool) -> ManifestDigests:
    """Hash a version's full manifest: one canonical JSON line per material, by raw path.

    SM3 is that of GB/T 32905, from OpenSSL; the configuration has made sure that it is there.
    """
    digests = {name: hashlib.new(name) for name in ("sha256", *(["sm3"] if sm3 else []))}
    for material in sorted(materials, key=lambda each: each.path):
        line = canonical({"path": names.text(material.path), "sha256": material.sha256, "size": material.size})
        for digest in digests.values():
            digest.update(line)
    return ManifestDigests(digests["sha256"].hexdigest(), digests["sm3"].hexdigest() if sm3 else None)


def _next_tag(archive: Archive, submission: Submission) -> str:
    known = set(archive.index.tags())
    number = 1
    while (tag := f"{submission}/submitted" + (f"-{number}" if number > 1 else "")) in known or _is_made(
        archive, tag
    ):
        number += 1
    return tag


def _is_made(archive: Archive, tag: str) -> bool:
    """Whether git has the tag, also one whose event cannot be read."""
    return archive.repository.resolve(f"refs/tags/{tag}") is not None
