"""Check the tree, commit, tag and manifest of each version against the capture event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from archiver.errors import LazyMessage, StorageError
from archiver.model import Op
from archiver.naming.readable_names import name_from_text
from archiver.naming.ref_names import RefName, remember_folder_name
from archiver.store import names
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.events.digests import parse_sha256
from archiver.store.git.repository import Repository
from archiver.verify.disposals import update_content_spans
from archiver.verify.expected import (
    ExpectedCommit,
    ForwardReferences,
    JournalEntry,
    JournalState,
    LeftOutFiles,
    RecordedMaterial,
)
from archiver.verify.findings import VerifyReport, untranslated

#: The bytes of the file ``.gitattributes``, which the first version of each submission adds.
_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"
#: The first line of a list of changes in format 2.
_CHANGES_HEADER = {"changes": 2}
#: Algorithms of the manifest digests in a submission. Some builds of OpenSSL lack SM3.
_MANIFEST_ALGORITHMS = {"sha256", "sm3"} & hashlib.algorithms_available


def apply_capture(entry: JournalEntry, journal_state: JournalState, references: ForwardReferences) -> None:
    """Apply a capture event to ``journal_state``: the expected commit, the materials, and the time of the capture.

    If a later event submits the version to the regulator, the digests of the version's manifest are computed as
    well. The manifest is the list of materials, without the files that are about that submission.

    Raises KeyError or ValueError if the event or its list of changes is malformed, ValueError if a version with
    the same tag was captured before.
    """
    event = entry.event
    version_tag = RefName(event["object"])
    if version_tag in journal_state.capture_times:
        raise ValueError(f"{version_tag} was captured before")
    # A tag is FILING/SUBMISSION/vN, and the branch has the name of the submission.
    branch = f"refs/heads/filings/{version_tag.rsplit('/', 1)[0]}"
    commit = event["refs"][branch]
    parent_commit = journal_state.branch_heads.get(branch)
    changes = _decode_changes(entry.read_attachment(CHANGES_FILE))
    journal_state.capture_times[version_tag] = event["clock"]["time"]
    journal_state.unproven_captures.append(version_tag)
    details = VersionCaptured.from_details(event["details"])
    version_number = details.version
    for component, folder_text in zip(version_tag.split("/"), (details.filing, details.submission), strict=False):
        remember_folder_name(component, name_from_text(folder_text))
    update_content_spans(branch, version_number, changes, references.planned_content, journal_state)
    materials = journal_state.materials.setdefault(branch, {})
    changed_blobs = _apply_changes(changes, materials, journal_state.content_sizes)
    if parent_commit is None:
        changed_blobs[b".gitattributes"] = _compute_blob_id(_ATTRIBUTES)
    journal_state.expected_commits[commit] = ExpectedCommit(version_tag, parent_commit, changed_blobs)
    journal_state.branch_heads[branch] = commit
    for left_out in references.left_out_by_tag.get(version_tag, ()):
        journal_state.manifest_digests[version_tag, left_out] = _compute_manifest_digests(materials, left_out)


def _decode_changes(list_bytes: bytes) -> list[dict[str, Any]]:
    """Return the changes in ``changes.jsonl`` of either format, in format 1: ``sha256`` in place of ``digest``.

    Raises ValueError for a line that is not JSON, or for a digest of another algorithm.
    """
    lines = [json.loads(line) for line in list_bytes.splitlines()]
    if not lines or lines[0] != _CHANGES_HEADER:
        return lines
    return [{**line, "sha256": parse_sha256(line["digest"])} if "digest" in line else line for line in lines[1:]]


def _apply_changes(
    changes: Sequence[Mapping[str, Any]], materials: dict[str, RecordedMaterial], content_sizes: dict[str, int]
) -> dict[bytes, str | None]:
    """Apply the parsed lines of ``changes.jsonl`` to ``materials``, and add new content to ``content_sizes``.

    Returns path in the tree -> object id of the expected blob for each changed path; None for a removed path.
    Applies all removals first, because one change may remove a path that another change adds.
    """
    expected_blobs: dict[bytes, str | None] = {}
    for change in changes:
        is_removal = change["op"] in (Op.DELETE, Op.RMDIR)
        removed_path = change["path"] if is_removal else change.get("from")
        if removed_path is not None:
            materials.pop(removed_path, None)
            if change["op"] != Op.RMDIR:
                expected_blobs[_build_tree_path(removed_path)] = None
    for change in changes:
        if change["op"] in (Op.DELETE, Op.RMDIR):
            continue
        sha256, size = change.get("sha256"), change.get("size", 0)
        materials[change["path"]] = RecordedMaterial(sha256, size)
        if sha256 is not None:
            pointer = _build_lfs_pointer(sha256, size)
            expected_blobs[_build_tree_path(change["path"])] = _compute_blob_id(pointer)
        if sha256 is not None and size:
            content_sizes[sha256] = size
    return expected_blobs


def check_commits(repository: Repository, journal_state: JournalState, report: VerifyReport) -> None:
    """Compare tree (A040), commit and tag (A041) of every version with the journal.

    Trees are not compared as a whole. If every commit differs from its parent exactly as the journal says, every
    tree is as the journal says. Reports A010 if git cannot compare the trees.
    """
    compared_commits = set()
    try:
        for commit, actual_blobs in repository.tree_changes(journal_state.expected_commits):
            compared_commits.add(commit)
            expected = journal_state.expected_commits[commit]
            for path in sorted(actual_blobs.keys() | expected.changed_blobs.keys()):
                if actual_blobs.get(path) != expected.changed_blobs.get(path):
                    report.add_finding("A040", expected.version_tag, untranslated(names.name_as_text(path)))
    except StorageError as error:
        report.add_finding("A010", "archive.git", error.message)
    for commit, expected in journal_state.expected_commits.items():
        if commit not in compared_commits and expected.changed_blobs:
            detail = LazyMessage("its commit changes nothing or cannot be read")
            report.add_finding("A040", expected.version_tag, detail)
        _check_commit_and_tag(repository, commit, expected, journal_state, report)


def _check_commit_and_tag(
    repository: Repository,
    commit: str,
    expected: ExpectedCommit,
    journal_state: JournalState,
    report: VerifyReport,
) -> None:
    """Check that the parent of ``commit`` is the previous version, and that the tag names ``commit`` (A041).

    Also reports a missing commit, tag object or ref.
    """
    tag_name = expected.version_tag
    try:
        header_lines = repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        tag_lines = repository.read(journal_state.expected_refs[f"refs/tags/{tag_name}"]).split(b"\n")
    except KeyError:
        report.add_finding("A041", tag_name, LazyMessage("its commit or tag object is missing or damaged"))
        return
    parents = [
        line.removeprefix(b"parent ").decode("ascii") for line in header_lines if line.startswith(b"parent ")
    ]
    expected_parents = [expected.parent_commit] if expected.parent_commit else []
    if parents != expected_parents:
        detail = LazyMessage(
            "its commit follows {parents} instead of {expected}",
            parents=str(parents),
            expected=str(expected.parent_commit),
        )
        report.add_finding("A041", tag_name, detail)
    expected_lines = [f"object {commit}", "type commit", f"tag {tag_name}"]
    if [line.decode("utf-8", "replace") for line in tag_lines[:3]] != expected_lines:
        report.add_finding("A041", tag_name, LazyMessage("its tag points to another commit"))


def _compute_manifest_digests(materials: Mapping[str, RecordedMaterial], left_out: LeftOutFiles) -> dict[str, str]:
    """Compute the digests of a version's manifest, in hexadecimal, by the name of the algorithm.

    The manifest has one line of canonical JSON per path, in the byte order of the paths, without the paths of
    ``left_out``.  Returns an empty dict if the version lacks one of these files.
    """
    left_out_paths = {path for path, _ in left_out}
    if any(path not in materials or materials[path].sha256 != sha256 for path, sha256 in left_out):
        return {}
    digest_by_algorithm = {algorithm: hashlib.new(algorithm) for algorithm in _MANIFEST_ALGORITHMS}
    for path in sorted(materials.keys() - left_out_paths, key=names.name_from_text):
        material = materials[path]
        members = {"path": path, "sha256": material.sha256, "size": material.size}
        canonical_json = json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for digest in digest_by_algorithm.values():
            digest.update(canonical_json.encode("utf-8") + b"\n")
    return {algorithm: digest.hexdigest() for algorithm, digest in digest_by_algorithm.items()}


def _build_tree_path(path: str) -> bytes:
    """Return the path in a version's tree of the material with the readable path ``path``."""
    return b"materials/" + names.tree_path(names.name_from_text(path))


def _build_lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the bytes that Git LFS commits in place of the content. An empty file is committed as is."""
    if size == 0:
        return b""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _compute_blob_id(blob_bytes: bytes) -> str:
    """Compute git's object id of a blob, in hexadecimal."""
    blob_object = b"blob %d\0" % len(blob_bytes) + blob_bytes
    return hashlib.sha1(blob_object, usedforsecurity=False).hexdigest()
