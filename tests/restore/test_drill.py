from __future__ import annotations

import os

import pytest

from tests.support.bags import open_bag
from tests.support.site import Site, wait_until


@pytest.fixture
def filled(site: Site) -> Site:
    for number in range(40):
        site.write(f"f/s{number % 3}/文件 {number}", f"content {number}" * number)
    site.catch_up()
    return site


def test_a_drill_restores_compares_and_journals(filled: Site) -> None:
    done = filled.json("drill", "--files", "25")
    assert 20 <= done["files"] <= 25
    [event] = filled.events("drill")
    assert event == filled.events()[-1]
    assert event["details"]["problems"] == []
    # Of what was restored nothing is left; the newest signed head lies there until the next one.
    assert os.listdir(filled.archive / "spool") == ["signing"]
    assert "all restored files match the archive" in filled.run("drill").stdout


def test_a_drill_finds_what_does_not_come_back(filled: Site) -> None:
    for path in (filled.repository / "lfs/objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "differ from the archived files" in filled.run("drill", code=8).stderr
    assert filled.events("drill")[-1]["details"]["problems"]


def test_the_daemon_drills_on_its_schedule(filled: Site) -> None:
    filled.configure(evidence={"drill_days": 1})
    from tests.retention.test_disposal import Later

    process = Later(filled, 2).start()
    wait_until(lambda: "drill" in filled.git("log", "--format=%s", "journal").stdout)
    process.terminate()
    assert process.wait(20) == 0
    filled.verified()


def test_manifests_carry_sm3_where_it_is_wanted(filled: Site) -> None:
    filled.configure(evidence={"sm3": True})
    filled.run("submit", "f/s1", "--on", "2026-01-01")
    [event] = filled.events("submit")
    assert len(event["details"]["manifest_sm3"]) == 64
    filled.verified()
    filled.run("audit", "--to", filled.root / "package")
    manifest = (filled.root / "package/manifest-sm3.txt").read_text().splitlines()
    import hashlib

    for line in manifest[:5]:
        digest, name = line.split("  ", 1)
        assert hashlib.new("sm3", (filled.root / "package" / name).read_bytes()).hexdigest() == digest
    open_bag(filled.root / "package")
