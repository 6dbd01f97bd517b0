"""``archiver remind``."""

from __future__ import annotations

import click

from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, StorageError


@command("Send the reminders that are due and have not been sent.")
@click.option("--dry-run", is_flag=True, help="Print the reminders that are due; send nothing.")
def remind_command(session: Session, dry_run: bool) -> None:
    """Send the due reminders, and print their number; with ``dry_run``, only print the reminders.

    Raises StorageError if a reminder could not be sent.  All other reminders were sent and journalled then.
    """
    console = session.console
    if dry_run:
        _print_pending_reminders(session)
        return
    from archiver.actions.reminder_actions import SendReminders

    send_result = session.perform(SendReminders())
    console.info(
        LazyMessage.define("Sent {count} reminders.", singular="Sent {count} reminder."),
        count=send_result["sent"],
    )
    if send_result["failed"]:
        raise StorageError(
            "Cannot send the reminders for {roles}. The next run sends them again. Check the addresses, and "
            "check that the mail or messaging servers can be reached.",
            roles=", ".join(send_result["failed"]),
        )


def _print_pending_reminders(session: Session) -> None:
    """Print each due reminder: the recipient, and a line for each item, such as a deadline."""
    from archiver.actions.context import ActionContext
    from archiver.actions.reminder_actions import collect_pending_reminders

    console = session.console
    context = ActionContext(session.open_archive(), session.config, session.lock_timeout)
    _, reminders = collect_pending_reminders(context)
    for reminder in reminders:
        console.info("To {role}:", role=reminder.recipient)
        for item in reminder.reminders:
            console.print_line(f"  {console.translate(item.text)}")
    if not reminders:
        console.info("There are no new reminders to send.")
