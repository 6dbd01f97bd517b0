"""What the settings call sensitive is for the service's user alone."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.store.sensitive import matching_pattern
from tests.support.other_user import become_user
from tests.support.site import Site, open_the_way


def mode(site: Site, data: str) -> int:
    sha256 = hashlib.sha256(data.encode()).hexdigest()
    return site.repository.joinpath("lfs/objects", sha256[:2], sha256[2:4], sha256).stat().st_mode & 0o777


def mark(site: Site) -> None:
    site.configure(sensitive={"patterns": ["*身份证*"]}, access={"read_group": "nogroup"})


@given(st.binary(min_size=1, max_size=30))
def test_a_pattern_that_is_the_name_fits(name: bytes) -> None:
    assert matching_pattern(b"folder/" + name, ["nothing", "*"]) == "*"
    assert matching_pattern(name, []) == ""


@pytest.mark.needs("root", "another user")
def test_the_reading_group_reads_everything_else(tmp_path: Path) -> None:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    mark(site)
    site.write("f/s/身份证.jpg", "scan")
    site.write("f/s/报告", "report")
    site.catch_up()
    assert (mode(site, "scan"), mode(site, "report")) == (0o400, 0o444)

    def reads(name: str) -> bool:
        path = site.repository / "lfs/objects"
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        user = become_user(65101)
        return subprocess.run([*user, "cat", path / sha256[:2] / sha256[2:4] / sha256]).returncode == 0

    assert (reads("scan"), reads("report")) == (False, True)
    site.verified()


@pytest.mark.needs("root")
def test_a_new_rule_counts_for_what_is_there_and_the_strictest_name_counts(site: Site) -> None:
    site.write("f/s/身份证.jpg", "scan")
    site.write("f/s/报告", "report")
    site.write("f/s/harmless", "copy of a scan")
    site.catch_up()
    assert mode(site, "scan") == mode(site, "report") == 0o444
    mark(site)
    site.write("g/s/身份证 2.jpg", "copy of a scan")
    site.catch_up()
    assert (mode(site, "scan"), mode(site, "copy of a scan"), mode(site, "report") & 0o440) == (
        0o400,
        0o400,
        0o440,
    )
    site.catch_up()
    assert mode(site, "scan") == 0o400
    site.verified()
    site.run("restore", "f/s/v1", "--to", "out")
    assert site.root.joinpath("out/身份证.jpg").read_text() == "scan"
