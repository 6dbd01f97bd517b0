"""Delete content after the retention period: make a plan, get approval from two other people, run the plan.

A *disposal* deletes the content of versions and keeps their history. Its *certificate* records what was deleted,
why, and who approved it. The *cooling-off period* begins with the last approval that is needed. The plan must not
run before the end of this period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.checkpoint_actions import try_make_checkpoint
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import LazyMessage, RetentionRefused
from archiver.model import Version
from archiver.retention import disposal, disposal_conditions, file_restriction
from archiver.retention.policy import RetentionDecision
from archiver.store.resolve import find_version
from archiver.verify.disposals import UNCERTIFIED_DISPOSAL
from archiver.verify.whole_archive import verify_archive

#: The percentage of the content objects to hash before a disposal: none, because hashing a large archive takes
#: long, and the caller waits.
_HASHED_PERCENT = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDisposal(Request):
    """A request to plan the disposal of versions."""

    #: Tags of the versions to consider. Empty: all versions of the archive.
    tags: Annotated[tuple[str, ...], Argument("tags")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveDisposal(Request):
    """A request to record the caller's approval of a plan."""

    plan_id: Annotated[str, Argument("plan", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDisposal(Request):
    """A request to execute an approved plan, or to finish an interrupted execution."""

    plan_id: Annotated[str, Argument("plan", TextRule.LOOKED_UP)]


@action("dispose-plan")
def plan_disposal(context: ActionContext, request: PlanDisposal) -> dict[str, Any]:
    """Journal a plan for each filing that has disposable versions, and return a description of the plans.

    Returns ``plans``, the names of the plans, and ``plan``, the first of them; ``going``, the versions to
    delete; ``staying``, the versions to retain, with the reasons; ``objects`` and ``bytes``, the number and the
    total size of the content objects to delete; and ``shared_objects``, the number of objects that stay because
    a retained version needs them. Every ``keep_until`` is ISO 8601 in UTC.

    Raises NotFoundError for an unknown tag or if all versions are disposed of already, and RetentionRefused if no
    version is disposable or the archive may lack a hold. No plan is journalled then.
    """
    archive = context.archive
    versions = [find_version(archive, tag) for tag in request.tags] or archive.index.versions()
    plan_ids, selection = disposal.journal_plans(archive, versions, context.disposal_rules, context.lock_timeout)
    return {
        "plan": plan_ids[0],
        "plans": plan_ids,
        "going": [_describe_disposable(version, decision) for version, decision in selection.disposable_decisions],
        "staying": [_describe_retained(version, decision) for version, decision in selection.retained_decisions],
        "objects": len(selection.object_sizes),
        "bytes": sum(selection.object_sizes.values()),
        "shared_objects": selection.shared_count,
    }


def _describe_disposable(version: Version, decision: RetentionDecision) -> dict[str, Any]:
    """Describe a version that the plan deletes, for the list ``going``."""
    return {
        "tag": version.tag,
        "files": version.files,
        "bytes": version.bytes,
        "keep_until": decision.keep_until.isoformat(),
    }


def _describe_retained(version: Version, decision: RetentionDecision) -> dict[str, Any]:
    """Describe a version that the plan does not delete, for the list ``staying``.

    ``open`` lists the conditions without an end date that retain the version, such as a hold. ``conditions`` names
    the same conditions in a clause for a sentence.
    """
    return {
        "tag": version.tag,
        "keep_until": decision.keep_until.isoformat(),
        "open": [str(condition) for condition in decision.open_conditions],
        "open_codes": [condition.code for condition in decision.open_conditions],
        "conditions": decision.conditions_clause,
    }


@action("dispose-approve")
def approve_disposal(context: ActionContext, request: ApproveDisposal) -> dict[str, Any]:
    """Journal the caller's approval of a plan.

    Returns ``plan``, the name of the plan; ``missing``, the number of approvals that are still needed; and
    ``not_before``, the end of the cooling-off period (RFC 3339 in UTC, None while an approval is missing).

    Raises NotFoundError for an unknown plan, UsageError without a reason, and RetentionRefused if the caller made
    the plan or has already approved it, or if the plan no longer fits the archive.
    """
    disposal_rules = context.disposal_rules
    plan = disposal.approve_plan(
        context.archive, request.plan_id, request.reason, disposal_rules, context.lock_timeout
    )
    missing_approvals = max(0, disposal_conditions.REQUIRED_APPROVALS - len(plan.approvals))
    cooling_off_end = (
        None if missing_approvals else disposal_conditions.compute_cooling_off_end(plan, disposal_rules)
    )
    return {
        "plan": plan.identity,
        "missing": missing_approvals,
        "not_before": clock.format_time(cooling_off_end) if cooling_off_end else None,
    }


@action("dispose-run")
def run_disposal(context: ActionContext, request: RunDisposal) -> dict[str, Any]:
    """Delete the content listed in an approved plan, journal the certificate, and sign the archive.

    Safe to repeat after a crash: the next run finishes the deletion.

    Returns ``certificate``, the name of the certificate; ``objects`` and ``bytes``, the number and the total size
    of the deleted objects; ``kept``, the number of planned objects that stay because a version needs them again;
    and ``problem``, the reason why the archive could not be signed afterwards (None if it was signed).

    Raises RetentionRefused if the plan is unknown or must not run, or if ``verify`` reports a finding; nothing is
    deleted then. Raises StorageError if the journal or an object cannot be written; run the plan again then.
    """
    disposal.check_holds_are_known(context.archive, "dispose run", context.lock_timeout)
    _require_clean_verification(context, request.plan_id)
    run_result = disposal.run_plan(context.archive, request.plan_id, context.disposal_rules, context.lock_timeout)
    checkpoint_problem = try_make_checkpoint(context)
    # A disposed version may have had the only unrestricted path of some content. This content is fully restricted
    # now. ``verify`` reports content whose permissions cannot be changed (A059).
    file_restriction.enforce_restrictions(context.archive)
    return {
        "certificate": run_result.plan_id,
        "objects": run_result.object_count,
        "bytes": run_result.byte_count,
        "kept": run_result.needed_count,
        "problem": checkpoint_problem,
    }


def _require_clean_verification(context: ActionContext, plan_id: str) -> None:
    """Verify the archive without hashing content objects, and refuse the disposal if there is a finding.

    A damaged archive must be repaired first, while all of its content still exists. A finding that only reports
    that this plan was begun and not finished is ignored. Raises RetentionRefused after journalling the refusal.
    """
    report = verify_archive(context.archive.root, context.archive.repository, _HASHED_PERCENT)
    findings = [
        finding
        for finding in report.findings
        # This finding means that the plan was begun and not finished. The run that follows finishes the plan.
        if (finding.code, finding.object) != (UNCERTIFIED_DISPOSAL, plan_id)
    ]
    if findings:
        refusal = RetentionRefused(
            LazyMessage.define(
                "Disposal is blocked by {count} findings of verify; the first is {code} {object}. Nothing was "
                "deleted. To list the findings, run: archiver verify",
                singular=(
                    "Disposal is blocked by {count} finding of verify ({code} {object}). Nothing was deleted. To "
                    "see the finding, run: archiver verify"
                ),
            ),
            code=findings[0].code,
            object=findings[0].object,
            count=len(findings),
        )
        disposal.journal_refusal(context.archive, "dispose run", refusal, context.lock_timeout)
        raise refusal
