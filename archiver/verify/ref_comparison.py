"""Compare the refs of a repository with the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archiver.errors import LazyMessage
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.expected import JournalState
from archiver.verify.findings import VerifyReport, untranslated
from archiver.verify.refs import find_overridden_packed_refs, list_peeled_tags

#: Position of the target in a tag object, which begins with "object " and 40 hexadecimal digits.
_TAG_TARGET = slice(7, 47)


def compare_refs(
    refs_before: Mapping[str, str],
    refs_after: Mapping[str, str],
    journal_state: JournalState,
    report: VerifyReport,
) -> None:
    """Report refs that are missing (A020), have another value (A021), or are unknown to the journal (A022).

    ``refs_before`` and ``refs_after`` are the refs as read before and after the journal was checked. A writer may
    have changed a ref in between, so the expected value may be in either of them. If the journal itself moved,
    unknown refs are not reported, because they may belong to new events.
    """
    for ref, expected_oid in journal_state.expected_refs.items():
        if ref not in refs_before:
            report.add_finding("A020", ref, LazyMessage("expected {oid}", oid=expected_oid[:12]))
        elif expected_oid not in (refs_before[ref], refs_after.get(ref)):
            detail = LazyMessage(
                "{value} instead of {expected}", value=refs_before[ref][:12], expected=expected_oid[:12]
            )
            report.add_finding("A021", ref, detail)
    if refs_before.get(JOURNAL) != refs_after.get(JOURNAL):
        return
    for ref in sorted(refs_before.keys() - journal_state.expected_refs.keys()):
        report.add_finding("A022", ref)


def check_packed_refs(
    repository: Repository, packed_lines: Sequence[bytes], journal_state: JournalState, report: VerifyReport
) -> None:
    """Report wrong lines of ``packed-refs`` that do not show in the refs as read (A023).

    There are two kinds of such lines. The value of a packed ref that a loose ref overrides counts again if the
    file of the loose ref is removed. A peeled line has the target of a tag, which git uses without reading the tag
    object. So an altered line could change the history that git shows without changing any ref.

    ``packed_lines`` are the lines as read before the journal: later ones could have values of newer events.
    """
    journalled_oids = {
        *journal_state.journal_commits,
        *journal_state.expected_commits,
        *journal_state.expected_refs.values(),
    }
    for packed_ref in find_overridden_packed_refs(repository.path, packed_lines):
        if packed_ref.oid not in journalled_oids:
            detail = LazyMessage("{ref} never had the value {oid}", ref=packed_ref.ref, oid=packed_ref.oid[:12])
            report.add_finding("A023", "archive.git/packed-refs", detail)
    for peeled_tag in list_peeled_tags(packed_lines):
        if peeled_tag.peeled_line != f"^{_read_tag_target(repository, peeled_tag.tag_oid)}":
            report.add_finding("A023", "archive.git/packed-refs", untranslated(peeled_tag.peeled_line))


def _read_tag_target(repository: Repository, tag_oid: str) -> str:
    """Return the object id that a tag object names; empty without a tag, or if it is missing or damaged."""
    if not tag_oid:
        return ""
    try:
        return repository.read(tag_oid)[_TAG_TARGET].decode("ascii", "replace")
    except KeyError:
        # The missing tag object has a finding of its own. No peeled line equals an empty target.
        return ""
