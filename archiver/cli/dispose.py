"""``archiver dispose``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import ObjectName, RecordedText, json_option
from archiver.cli.session import Session, command, command_group

if TYPE_CHECKING:
    from archiver.model import Disposal


dispose_command = command_group("Deletion after retention; refused (exit 4) before it.")


@command("List what would go and what stays, and make a plan of it.")
@click.argument("tags", type=ObjectName(), nargs=-1, metavar="[TAG ...]")
@json_option
def _plan(session: Session, tags: tuple[str, ...], as_json: bool) -> None:
    from archiver.actions.disposal_actions import PlanDisposal

    planned = session.perform(PlanDisposal(tags=tags))
    console = session.console
    if as_json:
        for each in planned["staying"]:
            del each["conditions"]
        console.json(planned)
        return
    for each in planned["going"]:
        console.say("goes   {tag}  ({files} files, {bytes} bytes, kept until {until})", **_listed(each))
    for each in planned["staying"]:
        console.say("stays  {tag}: not before {until}{open}", **_listed(each))
    console.say(
        "{objects} content objects ({bytes} bytes) would be deleted; {shared} more stay, because other versions "
        "need them.",
        objects=planned["objects"],
        bytes=planned["bytes"],
        shared=planned["shared_objects"],
    )
    console.say(
        "The plan is {plan}. Two other users have to approve it: archiver dispose approve {plan!q} --reason WHY",
        plan=planned["plan"],
    )


def _listed(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "tag": each["tag"],
        "until": each["keep_until"][:10],
        "open": each.get("conditions", ""),
        "files": each.get("files"),
        "bytes": each.get("bytes"),
    }


@command("Approve a plan; two users have to, neither of them the planner.")
@click.argument("identity", type=RecordedText(), metavar="ID")
@click.option("--reason", type=RecordedText(), required=True, help="Why this may go; kept with the record.")
def _approve(session: Session, identity: str, reason: str) -> None:
    from archiver.actions.disposal_actions import ApproveDisposal

    approved = session.perform(ApproveDisposal(plan_id=identity, reason=reason))
    if approved["missing"]:
        session.console.say("Approved {plan}. {missing} more approval is needed.", **approved)
    else:
        session.console.say(
            "Approved {plan}. It may run after {until}: archiver dispose run {plan!q}",
            plan=identity,
            until=session.format_time(approved["not_before"]),
        )


@command("Carry out an approved plan, or finish one that was interrupted.")
@click.argument("identity", type=RecordedText(), metavar="ID")
def _run(session: Session, identity: str) -> None:
    from archiver.actions.disposal_actions import RunDisposal

    done = session.perform(RunDisposal(plan_id=identity))
    console = session.console
    console.say(
        "Disposed of {objects} content objects, {bytes} bytes.", objects=done["objects"], bytes=done["bytes"]
    )
    if done["kept"]:
        console.say("{kept} were needed again in the meantime, and stay.", kept=done["kept"])
    console.say(
        "The certificate is {name}. Write it to a folder with: archiver dispose certificate {name!q} --to DIR",
        name=done["certificate"],
    )
    console.unless_signed(done)


@command("List plans, newest first.")
@json_option
def _list(session: Session, as_json: bool) -> None:
    plans = session.open_archive().index.disposals()
    console = session.console
    if as_json:
        console.json([_as_json(each) for each in plans])
        return
    if not plans:
        console.say("There is no disposal plan.")
        return
    rows = [
        (
            each.identity,
            session.format_time(each.at),
            each.user or each.uid,
            ", ".join(approval.user or str(approval.uid) for approval in each.approvals) or "-",
            console.text(_state(each)),
        )
        for each in plans
    ]
    console.table(("Plan", "Made", "By", "Approved by", "State"), rows)


def _state(plan: Disposal) -> str:
    if plan.certified:
        return "carried out"
    if plan.begun:
        return "begun, not finished"
    return "approved" if len(plan.approvals) > 1 else "waits for approval"


def _as_json(plan: Disposal) -> dict[str, Any]:
    return {
        "plan": plan.identity,
        "planned_at": plan.at,
        "planned_by": {"uid": plan.uid, "user": plan.user},
        "approvals": [
            {"uid": each.uid, "user": each.user, "reason": each.reason, "at": each.at} for each in plan.approvals
        ],
        "begun": plan.begun,
        "certified": plan.certified,
    }


@command("Write the certificate of a disposal: JSON, its signature, and a page to print.")
@click.argument("identity", type=RecordedText(), metavar="ID")
@click.option("--to", "target", required=True, metavar="DIR", help="Where the certificate's files are written.")
def _certificate(session: Session, identity: str, target: str) -> None:
    from archiver.restore.restoration import check_target
    from archiver.retention.certificate import issued
    from archiver.store import names

    folder = Path(target)
    check_target(folder, session.config.watch, session.config.archive)
    files = issued(session.open_archive(), identity)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        session.console.line(names.text(os.fsencode(folder / name)))


_COMMANDS = (
    ("plan", _plan),
    ("approve", _approve),
    ("run", _run),
    ("list", _list),
    ("certificate", _certificate),
)
for _name, _command in _COMMANDS:
    dispose_command.add_command(_command, _name)
