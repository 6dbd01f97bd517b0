"""Real servers and clients that write into the watched folder: Samba, vsftpd, Syncthing; on loopback only."""

from __future__ import annotations

import ftplib
import os
import pwd
import re
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smbprotocol.connection import Connection, Request
from smbprotocol.header import SMB2HeaderRequest
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FileAttributes,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    RequestedOplockLevel,
    ShareAccess,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from tests.support.site import free_port, listens, open_the_way, wait_until

_PASSWORD = "pw"
_SAMBA = """[global]
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = {port}
private dir = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
pid directory = {folder}
ncalrpc dir = {folder}/nc
log file = {folder}/log
server min protocol = SMB2
disable netbios = yes
load printers = no
kernel oplocks = yes
[share]
path = {share}
read only = no
force user = root
strict allocate = no
"""
_VSFTPD = """listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={top}
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
write_enable=YES
ftp_username=daemon
no_anon_password=YES
pasv_address=127.0.0.1
secure_chroot_dir={empty}
seccomp_sandbox=NO
xferlog_enable=NO
"""


@contextmanager
def running(command: list[str | Path], port: int) -> Iterator[None]:
    """Run a server until the end of the block; it is there once something listens on ``port``."""
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(port))
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


class _Requests(dict[int, Request]):
    """The requests that a client waits for, and a stand-in for what the server says without a request.

    Without it, smbprotocol hangs up when the server asks for an oplock back.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, _message_id: int) -> Request:
        return Request(SMB2HeaderRequest(), None, self._connection)


@contextmanager
def samba_share(share: Path) -> Iterator[TreeConnect]:
    """Serve the folder ``share``; yield a client's connection to it."""
    # The path of a test's own folder may be too long for the server's sockets.
    with tempfile.TemporaryDirectory(prefix="smb-") as folder, _served_share(Path(folder), share) as tree:
        yield tree


@contextmanager
def _served_share(folder: Path, share: Path) -> Iterator[TreeConnect]:
    """Serve ``share`` as :func:`samba_share` does; ``folder`` is for the server's own files."""
    port = free_port()
    config = folder / "smb.conf"
    config.write_text(_SAMBA.format(port=port, folder=folder, share=share), "utf-8")
    subprocess.run(
        ["smbpasswd", "-c", config, "-s", "-a", "root"],
        input=f"{_PASSWORD}\n{_PASSWORD}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    with running(["smbd", "-F", "--no-process-group", "-s", config], port):
        connection = Connection(uuid.uuid4(), "127.0.0.1", port)
        connection.connect()
        connection.outstanding_requests = _Requests(connection)
        try:
            session = Session(connection, "root", _PASSWORD, require_encryption=False)
            session.connect()
            tree = TreeConnect(session, r"\\127.0.0.1\share")
            tree.connect(require_secure_negotiate=False)
            yield tree
        finally:
            connection.disconnect()


def open_on_share(tree: TreeConnect, path: str, *, oplock: bool = False) -> Open:
    """Open a file for reading and writing as a client does; the caller closes it.

    With ``oplock``, the client is allowed to hold changes back, for which the server takes a write lease.
    """
    file = Open(tree, path.replace("/", "\\"))
    file.create(
        ImpersonationLevel.Impersonation,
        FilePipePrinterAccessMask.GENERIC_READ | FilePipePrinterAccessMask.GENERIC_WRITE,
        FileAttributes.FILE_ATTRIBUTE_NORMAL,
        ShareAccess.FILE_SHARE_READ,
        CreateDisposition.FILE_OPEN_IF,
        CreateOptions.FILE_NON_DIRECTORY_FILE,
        oplock_level=(
            RequestedOplockLevel.SMB2_OPLOCK_LEVEL_BATCH if oplock else RequestedOplockLevel.SMB2_OPLOCK_LEVEL_NONE
        ),
    )
    return file


@contextmanager
def ftp_server(folder: Path, share: Path) -> Iterator[ftplib.FTP]:
    """Serve the folder ``share`` by vsftpd to an ordinary user; yield a client's connection."""
    # vsftpd refuses to serve a folder that the user may write to as the topmost one.
    open_the_way(share.parent)
    os.chown(share, pwd.getpwnam("daemon").pw_uid, -1)
    (folder / "empty").mkdir(parents=True)
    port = free_port()
    config = folder / "vsftpd.conf"
    config.write_text(_VSFTPD.format(port=port, top=share.parent, empty=folder / "empty"), "utf-8")
    with running(["vsftpd", config], port), ftplib.FTP(encoding="utf-8") as client:
        client.connect("127.0.0.1", port)
        client.login()
        client.cwd(share.name)
        yield client


class SyncthingNode:
    """One device that synchronizes a folder with another one."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.sync_port, self.gui_port = free_port(), free_port()
        command = ["syncthing", "generate", f"--home={home}", "--no-default-folder", "--skip-port-probing"]
        subprocess.run(command, check=True, capture_output=True)
        self.device = subprocess.run(
            ["syncthing", "--device-id", f"--home={home}"], check=True, capture_output=True, text=True
        ).stdout.strip()

    def connect(self, other: SyncthingNode) -> None:
        """Write a configuration without discovery, relays, reports and upgrades: nothing leaves the machine."""
        path = self.home / "config.xml"
        text = path.read_text("utf-8")
        devices = "".join(
            f'<device id="{node.device}" name="x"><address>tcp://127.0.0.1:{node.sync_port}</address></device>'
            for node in (self, other)
        )
        shared = "".join(f'<device id="{node.device}"/>' for node in (self, other))
        folder = (
            f'<folder id="material" path="{self.folder}" type="sendreceive" rescanIntervalS="1" '
            f'fsWatcherEnabled="true" fsWatcherDelayS="1">{shared}<minDiskFree unit="%">0</minDiskFree><maxConflicts>10</maxConflicts></folder>'
        )
        text = re.sub(r"(?s)<folder .*?</folder>|<device .*?</device>", "", text)
        text = re.sub(r"(<gui [^>]*>.*?<address>)[^<]*", rf"\g<1>127.0.0.1:{self.gui_port}", text, flags=re.DOTALL)
        for name, value in (
            ("listenAddress", f"tcp://127.0.0.1:{self.sync_port}"),
            ("globalAnnounceEnabled", "false"),
            ("localAnnounceEnabled", "false"),
            ("relaysEnabled", "false"),
            ("natEnabled", "false"),
            ("urAccepted", "-1"),
            ("crashReportingEnabled", "false"),
            ("autoUpgradeIntervalH", "0"),
            ("startBrowser", "false"),
            ("reconnectionIntervalS", "1"),
        ):
            text = re.sub(rf"<{name}>[^<]*</{name}>", f"<{name}>{value}</{name}>", text)
        path.write_text(text.replace("</configuration>", f"{folder}{devices}</configuration>"), "utf-8")

    @contextmanager
    def running(self) -> Iterator[None]:
        command: list[str | Path] = ["syncthing", "serve", f"--home={self.home}", "--no-browser", "--no-restart"]
        with running([*command, "--no-upgrade"], self.sync_port):
            yield
