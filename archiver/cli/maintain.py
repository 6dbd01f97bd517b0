"""``archiver maintain``."""

from __future__ import annotations

import click

from archiver.cli.session import Session, command


@command("Pack the repository's small files; nothing is pruned. The service does this automatically when needed.")
@click.option(
    "--restore-settings",
    is_flag=True,
    help="Restore the repository's settings and hooks instead, and keep the previous content for review.",
)
def maintain_command(session: Session, restore_settings: bool) -> None:
    """Pack the repository; with ``restore_settings``, restore the settings and hooks instead."""
    if restore_settings:
        _restore_settings(session)
        return
    from archiver.actions.maintenance_actions import PackRepository

    pack_result = session.perform(PackRepository())
    session.console.info(
        "Objects packed: {objects}, packs merged: {packs}.",
        objects=pack_result["objects"],
        packs=pack_result["packs"],
    )
    for sha256 in pack_result.get("open", ()):
        session.console.warn(
            "Others can still read the restricted content {sha256}, because its permissions cannot be changed. If "
            "it has the immutable flag, run as root: archiver protect --off",
            sha256=sha256,
        )


def _restore_settings(session: Session) -> None:
    """Restore archiver's git settings and hooks, and print where foreign settings and hooks are kept.

    A setting or a hook is foreign if archiver did not write it but another git, such as that of the user, would
    obey it.  This process does the work, because the daemon refuses to open a repository of another format.

    Raises StorageError if the caller does not own the archive, and Busy if another process is writing for longer
    than the user wants to wait.
    """
    from archiver.store.git import hooks
    from archiver.store.repair import set_aside

    archive = session.open_archive(restores_settings=True)
    archive.check_owner()
    foreign_deviations = [
        deviation for deviation in hooks.deviations(archive.repository_path) if deviation.reason == hooks.FOREIGN
    ]
    # Opening the archive for writing restores the settings and hooks, and nothing else must be written.
    with archive.writing(session.lock_timeout):
        pass
    if foreign_deviations:
        session.console.info(
            "The previous content is kept in {path}. Find out who wrote it. To verify the archive, run: archiver "
            "verify",
            path=archive.root / set_aside.FOLDER,
        )
    session.console.info("The repository has archiver's own settings and hooks.")
