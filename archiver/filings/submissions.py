"""Record submissions to the regulator: check the version, then sign and journal."""

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
class SubmissionFacts:
    """The facts of a submission to the regulator, as reported by a person."""

    submitted_on: date  # the day on the regulator's portal; retention never counts from here
    kind: str | None = None  # None: by the name of the folder
    filing_number: str | None = None
    receipt: EvidenceFile | None = None
    reported_by: str | None = None
    number_override_reason: str | None = None  # why a number of an unknown form is right
    exception_reason: str | None = None  # why just this version is signed


def submit(
    archive: Archive, version: Version, facts: SubmissionFacts, lock_timeout: float, with_sm3: bool = False
) -> Event:
    """Sign a tag for ``version``, and journal the submission with the receipt and the digest of the manifest.

    ``with_sm3``: journal the SM3 of the manifest beside the SHA-256.

    Raises UsageError for a number or kind that cannot be, Busy and StorageError as :meth:`Archive.writing` does;
    nothing is recorded then.
    """
    if facts.filing_number is not None and not facts.number_override_reason:
        detect_scheme(facts.filing_number)
    if facts.kind not in (None, *KINDS):
        raise UsageError(
            "{kind} is not a kind of submission. Nothing was recorded. The kinds are: {known}",
            kind=facts.kind,
            known=", ".join(KINDS),
        )
    receipt = facts.receipt
    with archive.writing(lock_timeout) as writer:
        tag = _next_tag(archive, version.submission)
        digests = hash_manifest(archive.index.materials(version.submission, version.number), with_sm3)
        details = _submission_details(archive, version, facts, tag, digests)
        tag_message = f"{version.tag} submitted on {facts.submitted_on.isoformat()} ({details.kind})\n"
        attachments = {} if receipt is None else {receipt.journal_name(RECEIPT): receipt.stream}
        return writer.append(Draft(tag, details, attachments), (tag, version.commit, tag_message))


def check_complete(archive: Archive, version: Version) -> None:
    """Refuse a version without materials, and one with content lost or damaged in the archive.

    A signature cannot be taken back, so all content is read and hashed before.

    Raises SubmissionRefused.
    """
    if not version.files:
        raise _no_material_error(archive, version)
    materials = archive.index.materials(version.submission, version.number)
    material_by_sha256 = {material.sha256: material for material in materials if material.size}
    damaged = [
        material
        for sha256, material in material_by_sha256.items()
        if sha256 and not archive.content.is_intact(sha256, material.size)
    ]
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


def _no_material_error(archive: Archive, version: Version) -> SubmissionRefused:
    """Return the error for a version without materials; the newest earlier version with some is suggested."""
    submission = version.submission
    versions = archive.index.versions(submission.filing, submission.name)
    numbers_with_files = (other.number for other in versions if other.files)
    return SubmissionRefused(
        "{tag} holds no material. Nothing was recorded. If an earlier version was handed in, name it: archiver "
        "submit {name!q} --version {older!q}. To sign {tag} all the same, say why: --version {number!q} "
        "--reason TEXT",
        tag=version.tag,
        name=str(submission),
        older=next((number for number in numbers_with_files if number < version.number), "N"),
        number=version.number,
    )


def _submission_details(
    archive: Archive, version: Version, facts: SubmissionFacts, tag: str, manifest: ManifestDigests
) -> VersionSubmitted:
    """Return the details of the event.

    They name the version of the filing's common materials at that time, which belong to every submission.
    """
    common_materials = Submission(version.submission.filing, COMMON)
    common_version = None if version.submission == common_materials else archive.index.latest(common_materials)
    receipt = facts.receipt
    return VersionSubmitted(
        version=version.tag,
        tag=tag,
        submitted_on=facts.submitted_on,
        kind=facts.kind or kind_from_folder(version.submission.folder),
        number=facts.filing_number,
        number_reason=facts.number_override_reason or None,
        reason=facts.exception_reason or None,
        reported_by=facts.reported_by,
        receipt=None if receipt is None else receipt.display_name,
        common=common_version.tag if common_version else None,
        manifest_sha256=manifest.sha256,
        manifest_sm3=manifest.sm3,
    )


@dataclass(frozen=True, slots=True)
class ManifestDigests:
    """The digests of a version's manifest."""

    sha256: str
    sm3: str | None  # None if the configuration does not ask for SM3


def hash_manifest(materials: Iterable[Material], with_sm3: bool) -> ManifestDigests:
    """Hash a version's full manifest: a canonical JSON line for each material, in the order of raw paths.

    SM3 is the hash of GB/T 32905, from OpenSSL; a configuration that asks for SM3 without it is not loaded.
    """
    digests = {algorithm: hashlib.new(algorithm) for algorithm in ("sha256", *(["sm3"] if with_sm3 else []))}
    for material in sorted(materials, key=lambda material: material.path):
        line = canonical({"path": names.text(material.path), "sha256": material.sha256, "size": material.size})
        for digest in digests.values():
            digest.update(line)
    return ManifestDigests(digests["sha256"].hexdigest(), digests["sm3"].hexdigest() if with_sm3 else None)


def _next_tag(archive: Archive, submission: Submission) -> str:
    """Return the first free name of a signed tag: ``submitted``, then ``submitted-2`` and so on."""
    indexed_tags = set(archive.index.tags())
    number = 1
    while (tag := f"{submission}/submitted" + (f"-{number}" if number > 1 else "")) in indexed_tags or _is_in_git(
        archive, tag
    ):
        number += 1
    return tag


def _is_in_git(archive: Archive, tag: str) -> bool:
    """Return True if git has the tag: the index lacks a tag whose event cannot be read."""
    return archive.repository.resolve(f"refs/tags/{tag}") is not None
