"""``archiver explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from datetime import datetime

    from archiver.model import Version
    from archiver.naming.ref_names import RefName
    from archiver.retention.explain import RetentionExplanation
    from archiver.retention.policy import RetentionDecision, RetentionReason
    from archiver.store.archive import Archive


@command("Show how long a version is retained, why, and what extends retention.")
@click.argument("tag_and_path", type=ObjectName(), metavar="TAG[:PATH]")
@json_option
def explain_command(session: Session, tag_and_path: str, as_json: bool) -> None:
    """Print how long a version, or the content of one material of a version, is retained, and why.

    Raises NotFoundError for an unknown version or material.
    """
    from archiver.retention.explain import explain_retention
    from archiver.retention.policy import accepted_policy
    from archiver.store.index.restrictions import restricted_files
    from archiver.store.names import name_as_text, name_from_text
    from archiver.store.resolve import find_version, split_tag_and_path

    archive = session.open_archive()
    tag, material_path = split_tag_and_path(tag_and_path)
    version = find_version(archive, tag)
    compliance_time = archive.compliance_time()
    promised_policy = accepted_policy(session.config, archive.index.retention_promises())
    explanation, accepted_explanation = (
        explain_retention(archive.index, version, material_path, policy, compliance_time)
        for policy in (session.read_retention_policy(archive), promised_policy)
    )
    restrictions = restricted_files(archive.index).get(version.tag, [])
    if material_path:
        raw_path = name_from_text(material_path)
        restrictions = [restriction for restriction in restrictions if restriction.path == raw_path]
    if as_json:
        explanation_document = _explanation_to_dict(
            version.tag, explanation, accepted_explanation.decision.keep_until
        )
        restricted_documents = [restriction.as_json() for restriction in restrictions]
        if restricted_documents:
            explanation_document["restricted"] = restricted_documents
        session.console.print_json(explanation_document)
        return
    shown_name = f"{version.tag.for_people}:{material_path}" if material_path else version.tag
    _print_explanation(session, shown_name, explanation)
    if material_path:
        _print_file_role(session, archive, version, material_path)
    for restriction in restrictions:
        session.console.info(
            "  Restricted: {path} (by {user} on {at}: {reason}). Retention is unchanged.",
            path=name_as_text(restriction.path),
            user=restriction.by or restriction.user,
            at=session.format_time(restriction.restricted_at),
            reason=restriction.reason,
        )
    if not explanation.disposals:
        _print_how_to_extend(session, explanation.decision, accepted_explanation.decision)


def _explanation_to_dict(
    tag: RefName, explanation: RetentionExplanation, accepted_until: datetime
) -> dict[str, Any]:
    """Convert the decision about a version or a material's content to a dict for ``--json``.

    The keys must never change.  ``tag`` is the version's tag.  ``accepted_until`` is the end of the accepted
    retention, which cannot be shortened by changing the settings.  Times are ISO 8601: ``keep_until`` is in the
    decisive time zone, and ``anchor``, the time of the event from which a period counts, is in UTC.
    """
    decision = explanation.decision
    return {
        "tag": tag,
        "disposable": decision.is_disposable,
        "keep_until": decision.keep_until.isoformat(),
        "accepted_until": accepted_until.isoformat(),
        "open": [str(condition) for condition in decision.open_conditions],
        "open_codes": [condition.code for condition in decision.open_conditions],
        "reasons": [
            {
                "rule": reason.rule,
                "profile": reason.profile,
                "anchor": reason.counted_from,
                "keep_until": reason.keep_until.isoformat(),
                "basis": str(reason.basis),
                "basis_code": reason.basis.code,
            }
            for reason in decision.reasons
        ],
    }


def _print_file_role(session: Session, archive: Archive, version: Version, material_path: str) -> None:
    """Print each submission that a material of ``version`` is about, as a receipt or a notice.

    A receipt or a notice is retained like the files that were submitted.  Prints nothing for other materials.
    """
    from archiver.filings.code_names import FILE_ROLE_NAMES, name_for_code
    from archiver.store import names
    from archiver.store.index.submission_files import list_submission_files

    raw_path = names.name_from_text(material_path)
    materials = archive.index.materials(version.submission, version.number)
    sha256 = next((material.sha256 for material in materials if material.path == raw_path), None)
    for file in list_submission_files(archive.index, version.submission.filing):
        if file.key == (raw_path, sha256):
            session.console.info(
                "  About {submission}, not part of it: {role}",
                submission=file.submission_tag,
                role=name_for_code(file.role, FILE_ROLE_NAMES),
            )


def _make_clock_clause(session: Session, reason: RetentionReason) -> LazyMessage | str:
    """Return a clause with the day from which the period of ``reason`` counts, by the compliance clock.

    The clause is empty if the wall clock has the same day, because the message already contains that day.
    """
    clock_day = session.format_day(reason.counted_from)
    if clock_day == session.format_day(reason.wall_time):
        return ""
    return LazyMessage(", counted from {day} by the compliance clock", day=clock_day)


def _print_explanation(session: Session, shown_name: str, explanation: RetentionExplanation) -> None:
    """Print the decision or the disposal, the reasons by version, the holds, and the legal bases.

    ``shown_name`` is the version's tag, followed by a colon and the path if the user asked about one material.
    """
    console, decision = session.console, explanation.decision
    if explanation.disposals:
        console.info(
            "{tag}: disposed of in disposal {disposals}, after retention through {until}",
            tag=shown_name,
            disposals=console.join(explanation.disposals),
            until=decision.keep_until.date(),
        )
    else:
        console.info(
            "{tag}: retained at least through {until}{open}",
            tag=shown_name,
            until=decision.keep_until.date(),
            open=decision.conditions_clause,
        )
    _print_reasons(session, explanation)
    for hold in decision.holds:
        console.info(
            "  Hold: {name} (placed by {user} on {placed}: {reason})",
            user=hold.by or hold.user,
            placed=session.format_time(hold.placed),
            name=hold.name,
            reason=hold.reason,
        )
    for basis in dict.fromkeys(reason.basis for reason in decision.reasons):
        console.info("  Basis: {basis}", basis=basis)


def _print_how_to_extend(
    session: Session, decision: RetentionDecision, accepted_decision: RetentionDecision
) -> None:
    """Print how to extend the retention, and first the accepted part if the rest waits for acceptance.

    ``decision`` results from the settings and all accepted retention, and ``accepted_decision`` from accepted
    retention alone.
    """
    if accepted_decision.keep_until < decision.keep_until or accepted_decision.is_live != decision.is_live:
        session.console.info(
            "  Accepted only through {until}{open}; the rest waits for acceptance. To see and accept it, run: "
            "archiver retention accept",
            until=accepted_decision.keep_until.date(),
            open=accepted_decision.conditions_clause,
        )
    session.console.info(
        "  To extend: increase retention.years or add to retention.profiles in {config} and accept that (archiver "
        "retention accept), or place a hold (archiver hold place). Accepted retention cannot be shortened.",
        config=session.config.source,
    )


def _print_reasons(session: Session, explanation: RetentionExplanation) -> None:
    """Print the retention periods of each version with the content.

    If several versions have the content, a line with the version's tag precedes the periods of each version.
    """
    from archiver.retention.policy import PROFILE_NAMES, RULE_NAMES

    has_several_versions = len(explanation.reasons_by_version) > 1
    for version, reasons in explanation.reasons_by_version:
        if has_several_versions and version.disposed:
            session.console.info(
                "  In {tag} (deleted in disposal {disposal}):", tag=version.tag, disposal=version.disposed
            )
        elif has_several_versions:
            session.console.info("  In {tag}:", tag=version.tag)
        for reason in reasons:
            session.console.info(
                "{indent}  {rule} on {at}{clock}: retained through {until} ({profile})",
                indent="  " if has_several_versions else "",
                profile=PROFILE_NAMES.get(reason.profile, reason.profile),
                rule=RULE_NAMES[reason.rule],
                at=session.format_time(reason.wall_time),
                clock=_make_clock_clause(session, reason),
                until=reason.keep_until.date(),
            )
