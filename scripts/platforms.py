"""Try "make demo" and "make test" on fresh systems: what ``make test-platforms`` runs.

Each platform is a Debian made by debootstrap with git, make and python3 only, entered with pivot_root: in a plain
chroot the kernel forbids user namespaces, which tests use.  The commit that is checked out is cloned into it; what
is not committed is not tried.  Needs root and the network, and no Python beyond the standard library.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
MIRROR = "http://deb.debian.org/debian"

#: git's announcements for version 3, as settings that git 2.45 and later know.
GIT_3 = """\
[init]
\tdefaultRefFormat = reftable
\tdefaultObjectFormat = sha256
\tdefaultBranch = main
[safe]
\tbareRepository = explicit
"""

#: What makes pip find its index, its certificates and a proxy there as it does here.
PASSED = ("PIP_CERT", "PIP_INDEX_URL", "PIP_TRUSTED_HOST", "http_proxy", "https_proxy", "no_proxy")

#: Tests that a kernel of a container forbids, by name; each with its reason.
FORBIDDEN_BY_KERNEL: dict[str, str] = {}

#: Runs inside the new root: pivot_root takes it from a plain folder to the root of a mount namespace.
ENTER = """\
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mkdir -p former
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
pivot_root . former
exec chroot . /bin/sh -ec 'umount -l /former; cd "$HOME"; exec "$@"' sh "$@"
"""


@dataclass(frozen=True)
class Platform:
    """A Debian suite, and the text of its /etc/gitconfig."""

    suite: str
    git_settings: str = ""


PLATFORMS = {
    "bookworm": Platform("bookworm"),
    "trixie": Platform("trixie"),
    "sid": Platform("sid"),
    "sid-git3": Platform("sid", GIT_3),
}
DEFAULT_PLATFORMS = ("trixie", "sid", "sid-git3")


class CheckFailed(Exception):
    """A platform did not do what it should; the text says which step."""


class Machine:
    """One fresh system below ``root``, and what was printed there in ``log``."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self.log = log

    def bootstrap(self, platform: Platform) -> None:
        """Make the system with this machine's certificates and name servers, and clone the checkout into it."""
        included = "--include=ca-certificates,git,make,python3"
        self._run(["debootstrap", "--variant=minbase", included, platform.suite, os.fspath(self.root), MIRROR])
        for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
            shutil.copyfile(Path("/", name), self.root / name)
        # Sid's index says that it expires after a week, and a mirror may be older than that.
        (self.root / "etc/apt/apt.conf.d/90mirror").write_text('Acquire::Check-Valid-Until "false";\n')
        if platform.git_settings:
            (self.root / "etc/gitconfig").write_text(platform.git_settings)
        self._run(["chroot", os.fspath(self.root), "useradd", "--create-home", "visitor"])
        for home in ("root", "home/visitor"):
            clone = self.root / home / "archiver"
            self._run(["git", "clone", "--quiet", "--no-hardlinks", os.fspath(CHECKOUT), os.fspath(clone)])
        self._run(["chroot", os.fspath(self.root), "chown", "-R", "visitor:", "/home/visitor"])

    def make(self, *arguments: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run make in the clone of that user; what it prints is in the log as well."""
        home = "/root" if user == "root" else f"/home/{user}"
        passed = [f"{name}={os.environ[name]}" for name in PASSED if name in os.environ]
        environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        command = ["make", "--no-print-directory", "-C", f"{home}/archiver", *arguments]
        if user != "root":
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
        command = ["env", "-i", *environment, *passed, f"HOME={home}", *command]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        entering = ["sh", "-ec", ENTER, os.fspath(self.root)]
        return self._run(["env", f"HOME={home}", *namespaces, *entering, *command], check=False)

    def _run(self, command: Sequence[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"$ {' '.join(command)}\n{done.stdout}\n(exit code {done.returncode})\n")
        if check and done.returncode:
            raise CheckFailed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}")
        return done


def try_platform(machine: Machine, platform: Platform, tests: str) -> None:
    """Walk through what a newcomer does; raises CheckFailed."""
    machine.bootstrap(platform)
    refused = machine.make("demo", user="visitor")
    names_package = refused.returncode != 0 and "run: apt-get install python3-venv" in refused.stdout
    expect(names_package, f"make demo without python3-venv names the package\n{refused.stdout[-3000:]}")
    expect_done(machine.make("demo"), "make demo as root")
    expect_done(machine.make("demo", user="visitor"), "make demo as an ordinary user")
    shutil.rmtree(machine.root / "root/archiver/.venv/lib")
    expect_done(machine.make("demo"), "make demo over half an environment")
    deselected = " ".join(f"--deselect={name}" for name in FORBIDDEN_BY_KERNEL)
    done = machine.make("test", f"TESTS={tests} {deselected}")
    print("\n".join(done.stdout.splitlines()[-40:]))
    expect_done(done, "make test as root")


def expect_done(done: subprocess.CompletedProcess[str], step: str) -> None:
    """Raise CheckFailed with the end of the output unless the command succeeded."""
    expect(done.returncode == 0, f"{step}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    print(f"  passed: {step}")


def expect(holds: bool, step: str) -> None:
    """Raise CheckFailed unless the condition holds."""
    if not holds:
        raise CheckFailed(step)


def main() -> int:
    """Try each platform; the exit code is 1 when one failed."""
    parser = argparse.ArgumentParser(description="Try make demo and make test on fresh systems.")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"of: {', '.join(PLATFORMS)}")
    parser.add_argument("--tests", default="tests", help="what pytest is given")
    chosen = parser.parse_args()
    if unknown := set(chosen.platforms) - set(PLATFORMS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        parser.error("this needs root, and debootstrap: apt-get install debootstrap")
    # Whoever ends it ends what runs in the system too, and what was made is removed.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    failed = []
    for name in chosen.platforms or DEFAULT_PLATFORMS:
        # On a disk: /tmp may be small, or mounted without executables and devices.
        work = Path(tempfile.mkdtemp(prefix=f"archiver-{name}-", dir="/var/tmp"))
        log = Path(tempfile.gettempdir(), f"archiver-platform-{name}.log")
        log.unlink(missing_ok=True)
        print(f"== {name} (everything that is printed goes to {log})", flush=True)
        try:
            try_platform(Machine(work / "system", log), PLATFORMS[name], chosen.tests)
        except CheckFailed as failure:
            print(f"  FAILED: {failure}", flush=True)
            failed.append(name)
        finally:
            # debootstrap, if it is stopped on the way, leaves the machine's own /proc mounted there.
            for name in ("proc", "sys"):
                subprocess.run(["umount", "-l", work / "system" / name], capture_output=True, check=False)
            shutil.rmtree(work, ignore_errors=True)
    for test, reason in FORBIDDEN_BY_KERNEL.items():
        print(f"Not run: {test}: {reason}")
    print(f"Failed: {', '.join(failed)}" if failed else "Every platform passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
