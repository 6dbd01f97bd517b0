"""What tests need of the machine: how to see that it works, and which of Debian's packages has it.

A name in PATH says little: a container forbids mounts, ptrace is switched off, a package is half installed.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import pytest

from tests.support.other_user import CHECKOUT, become_user

#: What takes longer does not work: a test would wait for it, too.
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Need:
    """One thing that not every machine has."""

    #: Lines for ``sh -e`` in an empty folder of root's; they end with 0 where it works.
    check: str
    #: Debian's packages, for the reason of a skipped test.
    packages: str = ""


NEEDS = {
    "root": Need('[ "$(id -u)" = 0 ] || { echo you are not root; exit 1; }'),
    # Read as Python is by whoever runs it as another user, hence not as a line of sh: see ``find_trouble``.
    "another user": Need("", "mount util-linux"),
    "bindfs": Need("mkdir a b; bindfs a b; umount b", "bindfs fuse3"),
    "btrfs": Need(
        "truncate -s 120M image; mkfs.btrfs -q image; mkdir a; unshare --mount mount -o loop image a",
        "btrfs-progs mount util-linux",
    ),
    "chattr": Need("touch file; chattr +i file; chattr -i file", "e2fsprogs"),
    "chromium": Need("chromium --version", "chromium"),
    "exFAT": Need(
        "truncate -s 24M image; mkfs.exfat image; mkdir a; device=$(losetup --show --find image)\n"
        "trap 'umount a 2>/dev/null || :; losetup --detach $device' EXIT; mount.exfat-fuse $device a",
        "exfat-fuse exfatprogs mount",
    ),
    "fanotify": Need("python3 -c 'import ctypes; exit(ctypes.CDLL(None).fanotify_init(4, 0) < 0)'"),
    "fincore": Need("fincore /bin/sh", "util-linux; from Debian 13 on util-linux-extra"),
    "fscrypt": Need(
        "truncate -s 24M image; mkfs.ext4 -q -F -O encrypt image; mkdir a; unshare --mount mount -o loop image a",
        "e2fsprogs mount util-linux",
    ),
    "git-lfs": Need("git lfs version", "git-lfs"),
    "loop device": Need(
        "truncate -s 1M image; mkfs.ext4 -q -F image; mkdir a; unshare --mount mount -o loop image a",
        "e2fsprogs mount util-linux",
    ),
    "mount": Need("mkdir a; unshare --mount mount -t tmpfs tmpfs a", "mount util-linux"),
    "openssl": Need("openssl version", "openssl"),
    # Of every machine; whoever starts some is no unit test, see ``--unit``.
    "processes": Need("true"),
    "rclone": Need("mkdir a b; rclone mount --daemon $PWD/a b; umount b", "fuse3 rclone"),
    "rsync": Need("rsync --version", "rsync"),
    "Samba": Need("smbd --version", "samba"),
    "setfacl": Need("touch file; setfacl -m u:65534:r file", "acl"),
    "setpriv": Need("setpriv --bounding-set -dac_override --inh-caps -dac_override true", "util-linux"),
    "ssh-keygen": Need("ssh-keygen -q -t ed25519 -N '' -f key", "openssh-client"),
    "sshd": Need(
        "ssh-keygen -q -t ed25519 -N '' -f key; mkdir -p /run/sshd; $(command -v sshd) -t -f /dev/null -h $PWD/key",
        "openssh-client openssh-server",
    ),
    "sshfs": Need(
        "printf '#!/bin/sh\\nexec /usr/lib/openssh/sftp-server' >ssh; chmod +x ssh; mkdir a b\n"
        "sshfs -o ssh_command=$PWD/ssh x:$PWD/a b; umount b",
        "fuse3 openssh-sftp-server sshfs",
    ),
    "strace": Need("strace -f -o log -e inject=readv:error=EIO:when=1+ true", "strace"),
    "Syncthing": Need("HOME=$PWD syncthing --version", "syncthing"),
    "systemd-analyze": Need("systemd-analyze --version", "systemd"),
    "time namespace": Need("unshare -T --boottime 9 --monotonic 9 --fork true", "util-linux"),
    "user namespace": Need(
        "nsenter --mount=/proc/self/ns/mnt true; unshare -Ur sh -c 'echo 8 > /proc/sys/user/max_inotify_watches'",
        "util-linux",
    ),
    "vsftpd": Need("command -v vsftpd", "vsftpd"),
}


@functools.cache
def find_trouble(name: str) -> str:
    """Return why what is called ``name`` does not work here; nothing where it does.

    Raises pytest.UsageError for a name that is not in the table.
    """
    if (need := NEEDS.get(name)) is None:
        raise pytest.UsageError(f"A test needs {name!r}, which tests/support/needs.py does not describe.")
    with tempfile.TemporaryDirectory() as folder:
        command, cwd = ["sh", "-ec", need.check], folder
        if name == "another user":
            # Everything is asked for that such tests use: the Python, its packages, the checkout.
            command, cwd = (
                [*become_user(65534), sys.executable, "-m", "archiver", "--version"],
                os.fspath(CHECKOUT),
            )
        # chromium makes a folder in its user's home even to tell its version.
        reason = _fail_reason(command, cwd, {**os.environ, "HOME": folder})
    package = f" (Debian: {need.packages})" if need.packages else ""
    return reason and f"needs {name}: {reason}{package}"


def _fail_reason(command: list[str], cwd: str, env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    if not said:
        return f"it ends with {done.returncode}"
    # After the reason, mount and git give advice; Python gives the reason last.
    return said[-1] if said[0].startswith("Traceback") else said[0]
