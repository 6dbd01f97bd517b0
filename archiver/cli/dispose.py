"""``archiver dispose``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, RecordedText, json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.store.index.disposal_state import Disposal

#: Characters of the day at the start of an ISO 8601 time.
_ISO_DAY_LENGTH = len("2026-05-01")

dispose_command = command_group(
    "Dispose of versions after retention ends, by an approved plan. Exit code 4: refused by retention, a hold, "
    "or a missing approval."
)


@command("List the versions that a disposal would delete and retain, and create a plan.")
@click.argument("tags", type=ObjectName(), nargs=-1, metavar="[TAG ...]")
@json_option
def _plan_disposal(session: Session, tags: tuple[str, ...], as_json: bool) -> None:
    """Journal a plan to dispose of the versions ``tags``, or of all versions without tags, and print the plan.

    Nothing is deleted.  Raises NotFoundError for an unknown tag, and RetentionRefused if no version is disposable.
    """
    from archiver.actions.disposal_actions import PlanDisposal

    disposal_plan = session.perform(PlanDisposal(tags=tags))
    if as_json:
        # "conditions" is a clause for people.  The JSON has the same conditions one by one, in "open".
        for retained_version in disposal_plan["staying"]:
            del retained_version["conditions"]
        session.console.print_json(disposal_plan)
    else:
        _print_plan(session.console, disposal_plan)


def _print_plan(console: Console, disposal_plan: dict[str, Any]) -> None:
    """Print a new plan: the versions to delete and to keep, the number of objects, and the name of the plan."""
    for disposable_version in disposal_plan["going"]:
        console.info(
            LazyMessage.define(
                "delete  {tag}: retained through {until} ({files} files, {bytes} bytes)",
                singular="delete  {tag}: retained through {until} ({files} file, {bytes} bytes)",
                count_field="files",
            ),
            **_make_message_fields(disposable_version),
        )
    for retained_version in disposal_plan["staying"]:
        console.info(
            "keep    {tag}: retained at least through {until}{open}", **_make_message_fields(retained_version)
        )
    console.info(
        LazyMessage.define(
            "Would delete {objects} objects ({bytes} bytes). Retained because other versions need them: {shared}.",
            singular=(
                "Would delete {objects} object ({bytes} bytes). Retained because other versions need them: "
                "{shared}."
            ),
            count_field="objects",
        ),
        objects=disposal_plan["objects"],
        bytes=disposal_plan["bytes"],
        shared=disposal_plan["shared_objects"],
    )
    for plan_id in disposal_plan["plans"]:
        console.info(
            "Disposal plan: {plan}. Two other users must approve the plan. To approve, run: archiver dispose "
            "approve {plan!q} --reason TEXT",
            plan=plan_id,
        )


def _make_message_fields(planned_version: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the message about a version in a plan.

    ``planned_version`` is from the list ``going`` or ``staying`` in the result of the action.  ``until`` is a day
    (ISO 8601).  ``files`` and ``bytes`` are None for a version in ``staying``.  ``open`` is a clause with the
    conditions that keep the version, and is empty for a version in ``going``.
    """
    return {
        "tag": planned_version["tag"],
        "until": planned_version["keep_until"][:_ISO_DAY_LENGTH],
        "open": planned_version.get("conditions", ""),
        "files": planned_version.get("files"),
        "bytes": planned_version.get("bytes"),
    }


@command("Approve a disposal plan; two users other than the planner must approve the plan.")
@click.argument("plan_id", type=RecordedText(), metavar="ID")
@click.option(
    "--reason", type=RecordedText(), required=True, help=("Reason for the disposal, recorded in the journal.")
)
def _approve_plan(session: Session, plan_id: str, reason: str) -> None:
    """Journal the user's approval, and print how many approvals are missing or when the plan may run.

    Raises RetentionRefused if the user created the plan or has already approved the plan.
    """
    from archiver.actions.disposal_actions import ApproveDisposal

    approval_result = session.perform(ApproveDisposal(plan_id=plan_id, reason=reason))
    if approval_result["missing"]:
        session.console.info(
            "Approved disposal plan {plan}. Approvals still needed: {missing}.", **approval_result
        )
    else:
        session.console.info(
            "Approved disposal plan {plan}. To delete the content after {until}, run: archiver dispose run "
            "{plan!q}",
            plan=plan_id,
            until=session.format_time(approval_result["not_before"]),
        )


@command("Carry out an approved disposal plan, or finish an interrupted disposal.")
@click.argument("plan_id", type=RecordedText(), metavar="ID")
def _run_plan(session: Session, plan_id: str) -> None:
    """Delete the content in the plan, and print the result; safe to repeat after a crash.

    Raises RetentionRefused if the plan may not run yet, or if verifying the archive reports findings; nothing is
    deleted then.
    """
    from archiver.actions.disposal_actions import RunDisposal

    run_result = session.perform(RunDisposal(plan_id=plan_id))
    console = session.console
    console.info(
        LazyMessage.define(
            "Disposed of {objects} objects, {bytes} bytes.",
            singular="Disposed of {objects} object, {bytes} bytes.",
            count_field="objects",
        ),
        objects=run_result["objects"],
        bytes=run_result["bytes"],
    )
    if run_result["kept"]:
        console.info(
            LazyMessage.define(
                "{kept} objects are needed again and were retained.",
                singular="{kept} object is needed again and was retained.",
                count_field="kept",
            ),
            kept=run_result["kept"],
        )
    console.info(
        "Signed the certificate of destruction of disposal {name}. To write the certificate to a folder, run: "
        "archiver dispose certificate {name!q} --to DIR",
        name=run_result["certificate"],
    )
    console.warn_if_checkpoint_failed(run_result)


@command("List disposal plans, newest first.")
@json_option
def _list_plans(session: Session, as_json: bool) -> None:
    """Print every plan with its approvals and state, including plans that were already carried out."""
    plans = session.open_archive().index.disposals()
    console = session.console
    if as_json:
        console.print_json([_plan_to_dict(plan) for plan in plans])
        return
    if not plans:
        console.info("There are no disposal plans.")
        return
    plan_rows = [
        (
            plan.identity,
            session.format_time(plan.at),
            plan.user or plan.uid,
            console.join(approval.user or str(approval.uid) for approval in plan.approvals) or "-",
            console.translate(_describe_plan_state(plan)),
        )
        for plan in plans
    ]
    console.print_table(
        (
            LazyMessage("Plan"),
            LazyMessage("Created"),
            LazyMessage("Planned by"),
            LazyMessage("Approved by"),
            LazyMessage("State"),
        ),
        plan_rows,
    )


def _describe_plan_state(plan: Disposal) -> LazyMessage:
    """Return the state of a plan as a phrase for people; a plan with two approvals counts as approved."""
    if plan.certified:
        return LazyMessage("completed")
    if plan.begun:
        return LazyMessage("started, not finished")
    if len(plan.approvals) > 1:
        return LazyMessage("approved")
    return LazyMessage("awaiting second approval") if plan.approvals else LazyMessage("awaiting approval")


def _plan_to_dict(plan: Disposal) -> dict[str, Any]:
    """Convert a plan to a dict for ``--json``, whose keys must never change.

    Times are RFC 3339 in UTC.  The time of a step that has not happened yet is None.
    """
    return {
        "plan": plan.identity,
        "planned_at": plan.at,
        "planned_by": {"uid": plan.uid, "user": plan.user},
        "approvals": [
            {"uid": approval.uid, "user": approval.user, "reason": approval.reason, "at": approval.at}
            for approval in plan.approvals
        ],
        "begun": plan.begun,
        "certified": plan.certified,
    }


@command("Write the certificate of destruction of a disposal: JSON, its signature, and a printable page.")
@click.argument("plan_id", type=RecordedText(), metavar="ID")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="DIR",
    help=("Target folder for the files of the certificate of destruction."),
)
def _write_certificate(session: Session, plan_id: str, target: str) -> None:
    """Write the files of the certificate to the folder ``target``, and print their paths.

    A missing folder is created, and files with the same names are overwritten.  Raises UsageError for a folder
    inside the watched folder or the archive.
    """
    from archiver.restore.restoration import check_target_is_outside
    from archiver.retention.certificate import read_certificate
    from archiver.store import names

    target_folder = Path(target)
    check_target_is_outside(target_folder, session.config.watch, session.config.archive)
    certificate_files = read_certificate(session.open_archive(), plan_id)
    target_folder.mkdir(parents=True, exist_ok=True)
    for file_name, file_content in certificate_files.items():
        (target_folder / file_name).write_bytes(file_content)
        session.console.print_line(names.name_as_text(os.fsencode(target_folder / file_name)))


_COMMANDS = (
    ("plan", _plan_disposal),
    ("approve", _approve_plan),
    ("run", _run_plan),
    ("list", _list_plans),
    ("certificate", _write_certificate),
)
for _name, _command in _COMMANDS:
    dispose_command.add_command(_command, _name)
