"""What colleagues' machines do to the watched folder, by way of real file servers."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.file_servers import SyncthingNode, ftp_server, open_on_share, samba_share
from tests.support.site import Site, wait_until

WHOLE = random.Random(5).randbytes(300_000)
HALF = len(WHOLE) // 2


@contextmanager
def service(site: Site) -> Iterator[subprocess.Popen[str]]:
    daemon = site.start("--settle", "0.3")
    try:
        yield daemon
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)


def digests(site: Site, tag: str) -> dict[str, str]:
    return {each["path"]: each["sha256"] for each in site.json("show", tag)["materials"]}


@pytest.mark.needs("root", "Samba")
def test_a_file_that_a_client_of_a_share_has_open_is_captured_when_it_is_closed(site: Site) -> None:
    """Explorer and robocopy set the final size first, and the line is slow."""
    site.write("f/s/前", "1")
    with samba_share(site.watch) as tree, service(site):
        wait_until(lambda: site.tags() == ["f/s/v1"])
        file = open_on_share(tree, "f/s/报告.bin")
        file.write(b"\0", offset=len(WHOLE) - 1)
        file.write(WHOLE[:60_000], offset=0)
        time.sleep(2)
        assert site.tags() == ["f/s/v1"]
        assert {"code": "check.open", "path": "报告.bin"}.items() <= site.json("check", "f/s", code=4)[
            "open_points"
        ][0].items()
        for offset in range(0, len(WHOLE), 60_000):
            file.write(WHOLE[offset : offset + 60_000], offset=offset)
        file.close()
        wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    assert digests(site, "f/s/v2")["报告.bin"] == hashlib.sha256(WHOLE).hexdigest()


@pytest.mark.needs("root", "Samba")
def test_a_file_whose_changes_a_client_may_hold_back_is_captured_when_it_is_given_back(site: Site) -> None:
    """The server takes a write lease for the client (``kernel oplocks``), which breaks at the first look."""
    site.write("f/s/前", "1")
    with samba_share(site.watch) as tree:
        file = open_on_share(tree, "f/s/报告.bin", oplock=True)
        file.write(WHOLE[:HALF], offset=0)
        with service(site):
            wait_until(lambda: site.tags() == ["f/s/v1"])
            assert "报告.bin" not in digests(site, "f/s/v1")
            wait_until(lambda: {each["path"] for each in site.json("status")["pending"]} == {"f/s/报告.bin"})
            file.write(WHOLE[HALF:], offset=HALF)
            file.close()
            wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"], 60)
    assert digests(site, "f/s/v2")["报告.bin"] == hashlib.sha256(WHOLE).hexdigest()


class SlowFile(io.BytesIO):
    """Pauses in the middle for longer than the quiet period."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == HALF:
            time.sleep(1.5)
        return super().read(HALF)


@pytest.mark.needs("root", "vsftpd")
def test_an_upload_that_pauses_is_one_version(site: Site) -> None:
    with ftp_server(site.root / "ftp", site.watch) as client, service(site):
        client.mkd("f")
        client.mkd("f/s")
        client.storbinary("STOR f/s/报告.bin", SlowFile(WHOLE), blocksize=HALF)
        wait_until(lambda: site.tags() == ["f/s/v1"])
        client.rename("f/s/报告.bin", "f/s/报告（盖章）.bin")
        wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
        client.storbinary("APPE f/s/报告（盖章）.bin", io.BytesIO(b"more"))
        wait_until(lambda: len(site.tags()) == 3)
    digest = hashlib.sha256(WHOLE).hexdigest()
    assert digests(site, "f/s/v1") == {"报告.bin": digest}
    assert digests(site, "f/s/v2") == {"报告（盖章）.bin": digest}
    assert digests(site, "f/s/v3") == {"报告（盖章）.bin": hashlib.sha256(WHOLE + b"more").hexdigest()}
    site.verified()


@pytest.mark.needs("root", "Syncthing")
def test_what_is_synchronized_comes_whole_and_conflicts_are_named(site: Site, tmp_path: Path) -> None:
    far = tmp_path / "far"
    (far / "f/s").mkdir(parents=True)
    # Syncthing asks for a mark of its own in each folder.
    (far / ".stfolder").mkdir()
    (site.watch / ".stfolder").mkdir()
    here, there = SyncthingNode(tmp_path / "here", site.watch), SyncthingNode(tmp_path / "there", far)
    here.connect(there)
    there.connect(here)
    (far / "f/s/报告.bin").write_bytes(WHOLE)
    with service(site):
        with here.running(), there.running():
            wait_until(lambda: site.tags() == ["f/s/v1"], 60)
        # Both change while they do not see one another.
        (far / "f/s/报告.bin").write_bytes(b"theirs")
        os.utime(far / "f/s/报告.bin", (1_700_000_000, 1_700_000_000))
        (site.watch / "f/s/报告.bin").write_bytes(b"ours")
        with here.running(), there.running():
            wait_until(lambda: any("conflict" in path.name for path in (site.watch / "f/s").iterdir()), 60)
            wait_until(lambda: len(digests(site, site.tags()[0])) == 2, 60)
    assert digests(site, "f/s/v1") == {"报告.bin": hashlib.sha256(WHOLE).hexdigest()}
    points = site.json("check", "f/s")["open_points"]
    assert [point["path"] for point in points if point["code"] == "check.conflict-copy"] != []
    materials = {path for tag in site.tags() for path in digests(site, tag)}
    assert not any(".syncthing." in path or ".stfolder" in path for path in materials)
