"""Restricted files and the bucket: never sent, no longer locked, and named where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archiver import clock
from archiver.replica import object_names
from tests.replica.server import Server
from tests.replica.test_rebuild import recovered_site, restore
from tests.replica.test_sync import OpenBucket
from tests.retention.test_file_restriction import digest_of
from tests.support.site import Site

pytestmark = pytest.mark.needs("processes")


def keys_in(bucket_of: OpenBucket, url: str) -> set[str]:
    return {listed.key for listed in bucket_of(url).list_versions(object_names.CONTENT_PREFIX)}


def replicate_payroll(site: Site, server: Server, url: str) -> str:
    """Save the payroll in the wrong folder, and replicate it; return the tag of the version."""
    site.write("推荐/首次/工资表", "payroll")
    site.catch_up()
    site.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    site.run("replica", "sync")
    return site.tags()[0]


def test_a_file_restricted_in_time_is_never_sent(
    plain: Site, server: Server, bucket_of: OpenBucket, url: str, tmp_path: Path
) -> None:
    site = plain
    site.write("推荐/首次/工资表", "payroll")
    site.catch_up()
    tag = site.tags()[0]
    sha256 = digest_of(site, tag, "工资表")
    [restricted] = site.json("restrict", f"{tag}:工资表", "--reason", "误存")["files"]
    assert restricted["replica"] is None
    site.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    site.run("replica", "sync")
    key = object_names.content_key(sha256)
    assert key not in keys_in(bucket_of, url)
    assert site.json("verify", "--replica")["ok"], "what is not wanted there is not missing"
    text = restore(site, server, url, tmp_path / "recovered").stdout
    assert "Missing in the bucket" not in text
    assert "工资表" in text
    assert "误存" in text
    recovered = recovered_site(tmp_path / "recovered")
    assert [finding["code"] for finding in recovered.json("verify", code=5)["findings"]] == ["A050"]
    site.run("unrestrict", f"{tag}:工资表", "--reason", "it belongs there")
    site.run("replica", "sync")
    assert key in keys_in(bucket_of, url)


def test_a_copy_that_is_locked_already_is_named_and_goes_when_the_lock_ends(
    plain: Site, server: Server, bucket_of: OpenBucket, url: str
) -> None:
    site = plain
    tag = replicate_payroll(site, server, url)
    key = object_names.content_key(digest_of(site, tag, "工资表"))
    site.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    [restricted] = site.json("restrict", f"{tag}:工资表", "--reason", "误存")["files"]
    locked_until = restricted["replica"]["until"]
    assert locked_until > clock.format_time(clock.read_clocks().wall)
    result = site.json("replica", "sync")
    assert result["locked"] == [], "a hold keeps the copy"
    site.configure(retention={"years": 10})
    site.run("retention", "accept")
    extended = site.json("replica", "sync")["extended"]
    assert extended
    assert key not in {each["object"] for each in extended}
    site.run("hold", "lift", "抽查", "--reason", "closed")
    [locked] = site.json("replica", "sync")["locked"]
    assert locked["restricted"] is True
    assert "Restricted, locked in the bucket until" in site.run("replica", "sync").stdout
    assert key in keys_in(bucket_of, url)


def test_a_copy_without_a_lock_is_deleted_unless_it_is_the_last_one(
    plain: Site, server: Server, bucket_of: OpenBucket
) -> None:
    site = plain
    address = f"s3://{server.bucket(f'r{os.urandom(8).hex()}', lock=False)}/x"
    for name in ("工资表", "花名册"):
        site.write(f"推荐/首次/{name}", name)
    site.catch_up()
    site.run("replica", "init", "--url", address, "--endpoint", server.endpoint, "--no-lock")
    site.run("replica", "sync")
    tag = site.tags()[0]
    gone, last = (digest_of(site, tag, name) for name in ("工资表", "花名册"))
    (site.repository / "lfs/objects" / last[:2] / last[2:4] / last).unlink()
    files = site.json("restrict", f"{tag}:工资表", f"{tag}:花名册", "--reason", "误存")["files"]
    assert [each["replica"] for each in files] == [{"until": None}, {"until": None}]
    assert site.json("replica", "sync")["deleted"] == 1
    keys = keys_in(bucket_of, address)
    assert object_names.content_key(gone) not in keys
    assert object_names.content_key(last) in keys


def test_what_is_rebuilt_from_the_bucket_is_closed_as_well(
    plain: Site, server: Server, url: str, tmp_path: Path
) -> None:
    site = plain
    tag = replicate_payroll(site, server, url)
    sha256 = digest_of(site, tag, "工资表")
    site.run("restrict", f"{tag}:工资表", "--reason", "误存")
    site.run("replica", "sync")
    restore(site, server, url, tmp_path / "recovered")
    content = tmp_path / "recovered/archive.git/lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    assert content.stat().st_mode & 0o777 == 0o400
    recovered_site(tmp_path / "recovered").verified()
