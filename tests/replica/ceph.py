"""A second real S3 server: Ceph's gateway over one monitor and one store, from Debian's packages.

It differs where it hurts: it forgets the lock of an object that comes in parts, and takes a wrong checksum.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.replica.server import ACCESS, DOMAIN, SECRET, WRITER, WRITER_SECRET, Server

#: One copy of everything on one store, without a manager.
_CONF = """\
[global]
fsid = {fsid}
mon_host = {address}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_port_min = {bind}
ms_bind_port_max = {bind_last}
run_dir = {root}
admin_socket = {root}/$name.asok
log_file = {root}/$name.log
keyring = {root}/keyring
mon_data = {root}/mon
osd_data = {root}/osd
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = bluestore
osd_memory_target = 939524096
bluestore_block_size = 8589934592
rgw_data = {root}/rgw
rgw_dns_name = {domain}
rgw_frontends = beast endpoint=127.0.0.1:{base}
"""
#: Where the gateway puts what it stores.
_POOL = "default.rgw.buckets.data"


@dataclass
class Ceph(Server):
    """A running cluster of its own."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> Ceph:
        for name in ("mon", "osd", "rgw"):
            (self.root / name).mkdir(parents=True)
        fsid, address = str(uuid.uuid4()), f"[v2:127.0.0.1:{self.base + 1},v1:127.0.0.1:{self.base + 2}]"
        ports = {"base": self.base, "bind": self.base + 3, "bind_last": self.base + 19}
        self._conf.write_text(_CONF.format(fsid=fsid, address=address, root=self.root, domain=DOMAIN, **ports))
        self._make_keys()
        self._start_monitor(fsid, address)
        self._start_store()
        self._start_gateway()
        return self

    @property
    def _conf(self) -> Path:
        return self.root / "ceph.conf"

    def _make_keys(self) -> None:
        ring = self.root / "keyring"
        owners = {
            "mon.": ("--cap", "mon", "allow *"),
            "client.admin": ("--cap", "mon", "allow *", "--cap", "osd", "allow *"),
            "osd.0": ("--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"),
        }
        self._run("ceph-authtool", "--create-keyring", ring)
        for name, rights in owners.items():
            self._run("ceph-authtool", ring, "--gen-key", "-n", name, *rights)

    def _start_monitor(self, fsid: str, address: str) -> None:
        names = self.root / "monmap"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, names)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", names, "--keyring", self.root / "keyring")
        self._launch("ceph-mon", "-i", "a")

    def _start_store(self) -> None:
        name = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", name)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", name)
        self._launch("ceph-osd", "-i", "0")

    def _start_gateway(self) -> None:
        for name, access, secret in (("owner", ACCESS, SECRET), ("writer", WRITER, WRITER_SECRET)):
            keys = ("--access-key", access, "--secret-key", secret)
            self._run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *keys)
        self._launch("radosgw", "-n", "client.admin")
        deadline = time.monotonic() + 60
        while not self.listens():
            assert all(process.poll() is None for process in self.processes), self._said()
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.2)

    def _run(self, *words: object) -> str:
        done = subprocess.run(
            [*map(str, words), "--conf", str(self._conf)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:] + self._said()
        return done.stdout

    def _launch(self, *words: str) -> None:
        with open(self.root / "said", "ab") as said:
            self.processes.append(
                subprocess.Popen(
                    [*words, "--conf", self._conf, "-f"],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            )

    def _said(self) -> str:
        path = self.root / "said"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes.clear()

    @property
    def writer(self) -> str:
        return "arn:aws:iam:::user/writer"

    def alter(self, bucket: str, key: str) -> None:
        """Straight into the store."""
        other = self.root / "other"
        other.write_bytes(b"altered")
        for name in self._names(bucket, key):
            self._rados("put", name, other)

    def destroy(self, bucket: str, key: str) -> None:
        """Straight from the store."""
        for name in self._names(bucket, key):
            self._rados("rm", name)

    def _names(self, bucket: str, key: str) -> list[str]:
        """What the store calls the versions of an object."""
        marker = json.loads(self._run("radosgw-admin", "bucket", "stats", "--bucket", bucket))["marker"]
        names = [name for name in self._rados("ls").splitlines() if name.startswith(marker) and key in name]
        assert names
        return names

    def _rados(self, *words: object) -> str:
        return self._run("rados", "-p", _POOL, *words)
