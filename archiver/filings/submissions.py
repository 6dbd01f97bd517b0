"""Record submissions to the regulator: check the version, sign it, and journal the submission."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from archiver.errors import LazyMessage, NotFoundError, SubmissionRefused, UsageError
from archiver.filings.check.open_points import OpenPoint, record_points
from archiver.filings.evidence_file import EvidenceFile
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.submission_kinds import FILE_ROLES, kind_from_folder
from archiver.model import KINDS, Event, Material, Submission, Version
from archiver.naming.ref_names import COMMON, RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.attached_files import RECEIPT
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.digests import name_algorithm
from archiver.store.events.filing_events import SubmissionFileAdded, VersionSubmitted
from archiver.store.index.submission_files import list_submission_files
from archiver.store.writing.drafts import Draft, TagToSign
from archiver.store.writing.writer import HeadRule


@dataclass(frozen=True, slots=True)
class StatedFile:
    """A file in a submission folder that a person states to be about a submission, and not part of it."""

    path: str  # readable, relative to the submission folder
    role: str  # one of FILE_ROLES


@dataclass(frozen=True, slots=True)
class SubmissionFacts:
    """The facts of a submission to the regulator, as reported by a person."""

    submitted_on: date  # the day on the regulator's portal; retention never counts from it
    kind: str | None = None  # one of KINDS; None: derived from the name of the submission's folder
    filing_number: str | None = None  # None before the regulator has issued one
    receipt: EvidenceFile | None = None  # the portal's receipt
    reported_by: str | None = None  # the person who submitted, if not the archive's actor
    number_override_reason: str | None = None  # why a number of an unknown form is right; else empty or None
    exception_reason: str | None = None  # why a version that is not the newest, or incomplete, is signed
    stated_files: tuple[StatedFile, ...] = ()  # files of the version that are about the submission, not part of it
    open_points: tuple[OpenPoint, ...] = ()  # found before the signature, and recorded with it


def record_submission(
    archive: Archive, version: Version, facts: SubmissionFacts, lock_timeout: float, with_sm3: bool = False
) -> Event:
    """Sign a tag for ``version``, and journal the submission with the receipt and the digest of the manifest.

    Call :func:`check_version_complete` first.  With ``with_sm3``, the SM3 of the manifest is journalled in
    addition to the SHA-256.  ``lock_timeout`` is in seconds.  Returns the event.

    The manifest leaves out the ``stated_files``, which are about the submission.  If there are any, the event
    lists them, and the message of the tag contains the digest of the manifest.

    Raises UsageError if the filing number has no known form, the kind or a role is unknown, a file is stated
    twice, or no other file is left; NotFoundError if the version lacks a stated file; Busy if the archive stays
    locked; StorageError if it cannot be written or the tag cannot be signed.  Nothing is recorded then.
    """
    if facts.filing_number is not None and not facts.number_override_reason:
        detect_scheme(facts.filing_number)
    if facts.kind not in (None, *KINDS):
        raise UsageError(
            "{kind} is not a submission kind. Nothing was recorded. Choose one of: {known}",
            kind=facts.kind,
            known=", ".join(KINDS),
        )
    receipt = facts.receipt
    with archive.writing(lock_timeout) as writer:
        submission_tag = _find_unused_submission_tag(archive, version.submission)
        materials = list(archive.index.materials(version.submission, version.number))
        stated_files = [(find_stated_file(version, materials, stated), stated) for stated in facts.stated_files]
        submitted_materials = _exclude_stated_files(version, materials, [material for material, _ in stated_files])
        manifest = hash_manifest(submitted_materials, with_sm3)
        submission_details = replace(
            _build_submission_details(archive, version, facts, submission_tag, manifest),
            about=[_describe_stated_file(material, stated) for material, stated in stated_files] or None,
        )
        tag_message = f"{version.tag} submitted on {facts.submitted_on.isoformat()} ({submission_details.kind})\n"
        if stated_files:
            # The commit of the tag contains the stated files, too. So the tag names the manifest without them.
            tag_message += f"manifest-sha256 {manifest.sha256}\n"
        attachments = {} if receipt is None else {receipt.attachment_name(RECEIPT): receipt.stream}
        tag = TagToSign(submission_tag, version.commit, tag_message)
        draft = Draft(submission_tag, submission_details, attachments, tag=tag)
        # REQUIRED refuses any key but the journal's: a tag signed by another key would be a finding for ever.
        return writer.write_batch([draft], head_rule=HeadRule.REQUIRED)[0]


def find_stated_file(version: Version, materials: Iterable[Material], stated: StatedFile) -> Material:
    """Return the file that a person stated, from the ``materials`` of ``version``.

    Raises NotFoundError if no file has the stated path; an empty folder is not a file.  Raises UsageError for an
    unknown role.
    """
    if stated.role not in FILE_ROLES:
        raise UsageError(
            "{role} is not a role of a file. Nothing was recorded. Choose one of: {known}",
            role=stated.role,
            known=", ".join(FILE_ROLES),
        )
    raw_path = names.name_from_text(stated.path)
    for material in materials:
        if material.path == raw_path and material.sha256:
            return material
    raise NotFoundError(
        "{tag} contains no file {path}. Nothing was recorded. To list its files, run: archiver show {tag!q}",
        tag=version.tag,
        path=stated.path,
    )


def _exclude_stated_files(
    version: Version, materials: Sequence[Material], stated_materials: Sequence[Material]
) -> list[Material]:
    """Return the submitted materials: all ``materials`` of ``version`` except the files about the submission.

    Raises UsageError if the same file is stated twice, for example with two roles, or if no file is left.
    """
    stated_paths = {material.path for material in stated_materials}
    if len(stated_paths) < len(stated_materials):
        raise UsageError(
            "A file of {tag} is stated twice. Nothing was recorded. State each receipt and notice once.",
            tag=version.tag,
        )
    submitted_materials = [material for material in materials if material.path not in stated_paths]
    if stated_materials and not any(material.sha256 for material in submitted_materials):
        raise UsageError(
            "Every file of {tag} is stated as a receipt or a notice, so that no submitted file is left. Nothing "
            "was recorded.",
            tag=version.tag,
        )
    return submitted_materials


def _describe_stated_file(material: Material, stated: StatedFile) -> dict[str, str]:
    """Return the entry for a file about a submission in the event of the submission."""
    return {
        "path": names.name_as_text(material.path),
        "digest": name_algorithm("sha256", material.sha256 or ""),
        "role": stated.role,
    }


def attach_file(
    archive: Archive,
    submission_tag: RefName,
    version: Version,
    stated: StatedFile,
    reported_by: str | None,
    lock_timeout: float,
) -> Event:
    """Record that a captured file of ``version`` is about an earlier submission, and return the event.

    ``submission_tag`` is the signed tag of the submission; the caller checks that it exists.  The signature of the
    submission is not affected.

    Raises NotFoundError if the version lacks the file, UsageError if the role is unknown or the file is already
    recorded for this submission, Busy if the archive stays locked, StorageError if it cannot be written.  Nothing
    is recorded then.
    """
    with archive.writing(lock_timeout) as writer:
        materials = archive.index.materials(version.submission, version.number)
        material = find_stated_file(version, materials, stated)
        file_entry = _describe_stated_file(material, stated)
        for recorded_file in list_submission_files(archive.index, version.submission.filing):
            is_same_file = (recorded_file.path, recorded_file.sha256) == (file_entry["path"], material.sha256)
            if is_same_file and recorded_file.submission_tag == submission_tag:
                raise UsageError(
                    "{path} is already recorded as a file about {tag}. Nothing was recorded. To see it, run: "
                    "archiver show {tag!q}",
                    path=file_entry["path"],
                    tag=submission_tag,
                )
        details = SubmissionFileAdded(
            submission=submission_tag,
            version=version.tag,
            path=file_entry["path"],
            digest=file_entry["digest"],
            role=stated.role,
            reported_by=reported_by,
        )
        return writer.append(Draft(submission_tag, details))


def find_damaged_materials(archive: Archive, materials: Iterable[Material]) -> list[Material]:
    """Return those of ``materials`` whose content is missing from the archive, or damaged.

    A signature cannot be taken back, so all content is read and hashed before a version is signed.  Of several
    materials with the same content, only the last is returned.
    """
    material_by_sha256 = {material.sha256: material for material in materials if material.size}
    return [
        material
        for sha256, material in material_by_sha256.items()
        if sha256 and not archive.content.is_intact(sha256, material.size)
    ]


def check_version_complete(archive: Archive, version: Version, damaged_materials: Sequence[Material]) -> None:
    """Check that ``version`` has files, and that the archive has all their content undamaged.

    ``damaged_materials`` is the result of :func:`find_damaged_materials`.

    Raises SubmissionRefused if a check fails.
    """
    if not version.files:
        raise _no_material_error(archive, version)
    if not damaged_materials:
        return
    if version.disposed:
        raise SubmissionRefused(
            "The content of {tag} was deleted in disposal {certificate}. Nothing was recorded. To sign the "
            "version anyway, run: archiver submit {name!q} --version {number!q} --reason TEXT",
            tag=version.tag,
            certificate=version.disposed,
            name=version.submission.ref_name,
            number=version.number,
        )
    raise SubmissionRefused(
        LazyMessage.define(
            "The content of {count} files of {tag} is missing or damaged in the archive; the first is {path}. "
            "Nothing was recorded. Verify the archive, and restore the content from the replica or a backup. To "
            "sign the version anyway, run: archiver submit {name!q} --version {number!q} --reason TEXT",
            singular=(
                "The content of {count} file of {tag} is missing or damaged in the archive: {path}. Nothing was "
                "recorded. Verify the archive, and restore the content from the replica or a backup. To sign the "
                "version anyway, run: archiver submit {name!q} --version {number!q} --reason TEXT"
            ),
        ),
        count=len(damaged_materials),
        tag=version.tag,
        path=names.name_as_text(damaged_materials[0].path),
        name=version.submission.ref_name,
        number=version.number,
    )


def _no_material_error(archive: Archive, version: Version) -> SubmissionRefused:
    """Return the error for a version without files.

    Its message suggests a command for the newest earlier version with files.  If there is none, the command has
    the letter N in place of the version's number.
    """
    submission = version.submission
    versions = archive.index.versions(submission.filing, submission.name)
    numbers_with_files = (listed_version.number for listed_version in versions if listed_version.files)
    return SubmissionRefused(
        "{tag} contains no files. Nothing was recorded. To sign it anyway, add --version {number!q} --reason "
        "TEXT. If an earlier version was submitted, run: archiver submit {name!q} --version {older!q}",
        tag=version.tag,
        name=submission.ref_name,
        older=next((earlier for earlier in numbers_with_files if earlier < version.number), "N"),
        number=version.number,
    )


def _build_submission_details(
    archive: Archive, version: Version, facts: SubmissionFacts, submission_tag: RefName, manifest: ManifestDigests
) -> VersionSubmitted:
    """Return the details of the event that records the submission of ``version``.

    A submission also includes the filing's common materials: the files that are directly in the filing's folder.
    The details name the newest version of the common materials.
    """
    common_submission = Submission(version.submission.filing, RefName(COMMON))
    is_common = version.submission == common_submission
    common_version = None if is_common else archive.index.newest_version(common_submission)
    receipt = facts.receipt
    return VersionSubmitted(
        version=version.tag,
        tag=submission_tag,
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
        open_points=record_points(facts.open_points) or None,
    )


@dataclass(frozen=True, slots=True)
class ManifestDigests:
    """The digests of a version's manifest, in hexadecimal."""

    sha256: str
    sm3: str | None  # None if the configuration does not request SM3


def hash_manifest(materials: Iterable[Material], with_sm3: bool) -> ManifestDigests:
    """Hash a version's manifest: one line of canonical JSON for each material, in the order of the raw paths.

    SM3 is the hash function of GB/T 32905.  Raises ValueError if OpenSSL lacks SM3; a configuration that requests
    SM3 cannot be loaded on such a system.
    """
    sha256_digest = hashlib.sha256()
    sm3_digest = hashlib.new("sm3") if with_sm3 else None
    for material in sorted(materials, key=lambda material: material.path):
        manifest_line = encode_canonical(
            {"path": names.name_as_text(material.path), "sha256": material.sha256, "size": material.size}
        )
        sha256_digest.update(manifest_line)
        if sm3_digest is not None:
            sm3_digest.update(manifest_line)
    return ManifestDigests(sha256_digest.hexdigest(), sm3_digest.hexdigest() if sm3_digest is not None else None)


def _find_unused_submission_tag(archive: Archive, submission: Submission) -> RefName:
    """Return the first unused tag for a submission to the regulator, without ``refs/tags/``.

    It is ``FILING/SUBMISSION/submitted``, then ``submitted-2``, ``submitted-3`` and so on.
    """
    indexed_tags = set(archive.index.all_tags())
    submission_tag = RefName(f"{submission}/submitted")
    tag_number = 1
    while submission_tag in indexed_tags or _has_git_tag(archive, submission_tag):
        tag_number += 1
        submission_tag = RefName(f"{submission}/submitted-{tag_number}")
    return submission_tag


def _has_git_tag(archive: Archive, tag: str) -> bool:
    """Return True if the repository has the tag, even if the index lacks it.

    The index lacks the tags of events that cannot be read.
    """
    return archive.repository.resolve(f"refs/tags/{tag}") is not None
