"""Everything a bucket, a network and a careless hand can do: a sentence or a finding, no loss, no endless loop."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from archiver import clock
from tests.replica.conftest import give_keys, write_keys
from tests.replica.proxy import http, proxied
from tests.replica.server import ACCESS, SECRET, Server, free_base
from tests.support.faketime import at
from tests.support.journal_model import read_journal
from tests.support.site import Site


def init(site: Site, url: str, endpoint: str, *more: object, code: int = 0) -> str:
    done = site.run("replica", "init", "--url", url, "--endpoint", endpoint, *more, code=code)
    assert SECRET not in done.stdout + done.stderr
    return done.stderr


def journalled(site: Site) -> str:
    """The text of both files of every event, and of every head."""
    files = (file for commit in read_journal(site.repository) for file in commit.files.values())
    return b"\n".join(file for file in files if file is not None).decode()


@pytest.mark.parametrize(
    ("access", "secret", "said"),
    [
        ("somebody", SECRET, "does not know the access key"),
        (ACCESS, "wrong-secret-wrong-secret", "secret key is wrong"),
    ],
)
def test_wrong_keys(plain: Site, server: Server, url: str, access: str, secret: str, said: str) -> None:
    write_keys(plain.config.with_name("other-keys"), access, secret)
    plain.configure(replica={"credentials": "other-keys"})
    error = init(plain, url, server.endpoint, code=8)
    assert said in error
    assert secret not in error
    assert plain.json("status")["replica"] is None


def test_keys_that_others_can_read_or_that_are_none(plain: Site, server: Server, url: str, keys: Path) -> None:
    keys.chmod(0o644)
    assert "readable only by its owner" in init(plain, url, server.endpoint, code=3)
    keys.chmod(0o600)
    keys.write_text("nonsense")
    assert "readable only by its owner" in init(plain, url, server.endpoint, code=3)
    keys.unlink()
    assert "readable only by its owner" in init(plain, url, server.endpoint, code=3)
    plain.config.write_text(plain.config.read_text("utf-8").replace("credentials = ", "# "), "utf-8")
    assert (
        "credentials are missing"
        in plain.run(
            "replica",
            "init",
            "--url",
            url,
            "--endpoint",
            server.endpoint,
            code=8,
            env={"AWS_EC2_METADATA_DISABLED": "true"},
        ).stderr
    )


def test_keys_from_the_environment_leave_no_trace(site: Site, server: Server, url: str) -> None:
    site.write("推荐/首次/材料", "x")
    site.catch_up()
    env = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    site.run("replica", "init", "--url", url, "--endpoint", server.endpoint, env=env)
    site.run("replica", "sync", env=env)
    for path in site.archive.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in journalled(site)
    assert '"url":"s3://' in journalled(site)


def test_a_bucket_that_does_not_lock(plain: Site, server: Server) -> None:
    name = server.bucket(f"n{uuid.uuid4().hex[:20]}", lock=False)
    error = init(plain, f"s3://{name}/x", server.endpoint, code=8)
    assert "no Object Lock" in error
    assert "--no-lock" in error
    assert plain.json("status")["replica"] is None
    init(plain, f"s3://{name}/x", server.endpoint, "--no-lock")
    plain.run("replica", "sync")
    assert "(no Object Lock: bucket users can delete it)" in plain.run("status").stdout
    status = plain.json("status")
    assert status["replica"]["locks"] is False
    assert status["protection"] == "permissions"
    # Emptied by whoever has the keys: verify says so, and what is here is sent again after a listing.
    client = server.client()
    for each in client.list_object_versions(Bucket=name).get("Versions", []):
        client.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])
    codes = {each["code"] for each in plain.json("verify", "--replica", code=5)["findings"]}
    assert codes == {"A070"}


def test_no_such_bucket_and_no_address(plain: Site, server: Server) -> None:
    assert "the bucket does not exist" in init(
        plain, f"s3://none-{uuid.uuid4().hex[:8]}/x", server.endpoint, code=8
    )
    for wrong in ("http://x/y", "s3:/x", "s3://", "s3://A_B/x"):
        assert "not an address" in init(plain, wrong, server.endpoint, code=2)


def test_nobody_answers_or_somebody_else(plain: Site, url: str, server: Server) -> None:
    dead = f"http://127.0.0.1:{free_base(40)}"
    assert "cannot be reached" in init(plain, url, dead, code=8)
    with proxied(server.base) as proxy:
        proxy.answer = http("200 OK", "<html><body>Please log in</body></html>")
        assert "is not an S3 server" in init(plain, url, proxy.endpoint, code=8)
        proxy.answer = http("502 Bad Gateway", "<html>oops</html>")
        assert "Cannot use the bucket" in init(plain, url, proxy.endpoint, code=8)
        proxy.answer = http("503 Slow Down", "<Error><Code>SlowDown</Code></Error>", "application/xml")
        assert "overloaded" in init(plain, url, proxy.endpoint, code=8)
        assert proxy.connections < 40


def test_the_bucket_goes_away_at_each_step(replicated: Site, url: str, keys: Path) -> None:
    replicated.write("推荐/首次/新", "new")
    replicated.catch_up()
    dead = f"http://127.0.0.1:{free_base(41)}"
    text = replicated.config.read_text("utf-8")
    replicated.config.write_text(text.replace("\n[replica]\n", f'\n[replica]\nendpoint = "{dead}"\n'), "utf-8")
    for words in (
        ("replica", "sync"),
        ("verify", "--replica"),
        ("replica", "restore", "--url", url, "--endpoint", dead, "--credentials", keys, "--to", "back"),
    ):
        assert "cannot be reached" in replicated.run(*words, code=8).stderr
    assert not (replicated.root / "back/archive.git").exists()
    replicated.verified()
    replicated.config.write_text(text, "utf-8")
    assert replicated.run("replica", "sync").stdout.startswith("Uploaded objects: 1 ")
    assert replicated.json("verify", "--replica")["ok"]


def test_a_storm_that_passes(plain: Site, url: str, server: Server) -> None:
    with proxied(server.base) as proxy:
        init(plain, url, proxy.endpoint)
        proxy.answer = http("503 Slow Down", "<Error><Code>SlowDown</Code></Error>", "application/xml")
        proxy.calm_after = proxy.connections + 2
        plain.run("replica", "sync")
    assert plain.json("status")["replica"]["behind"]["materials"] == 0


def test_cut_in_the_middle_of_an_object(plain: Site, url: str, server: Server) -> None:
    plain.write("推荐/首次/大", os.urandom(2_000_000))
    plain.write("推荐/首次/更大", os.urandom(40_000_000))
    plain.catch_up()
    with proxied(server.base) as proxy:
        init(plain, url, proxy.endpoint)
        proxy.cut_up = 1_000_000
        assert "Cannot use the bucket" in plain.run("replica", "sync", code=8).stderr
        proxy.cut_up = None
        plain.run("replica", "sync")
        assert plain.json("verify", "--replica-sample", "100")["ok"]
    # Nothing of what was cut is left to be paid for.
    assert "Uploads" not in server.client().list_multipart_uploads(Bucket=url.split("/")[2])


def test_clocks_that_differ(plain: Site, url: str, server: Server) -> None:
    done = plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint, code=8, env=at(1))
    assert "clocks of this server and of the bucket differ" in done.stderr


def test_a_delete_marker_on_top_of_everything(replicated: Site, url: str, server: Server) -> None:
    client, name = server.client(), url.split("/")[2]
    for each in client.list_object_versions(Bucket=name)["Versions"]:
        client.delete_object(Bucket=name, Key=each["Key"])
    found = replicated.json("verify", "--replica", code=5)["findings"]
    assert {each["code"] for each in found} == {"A075"}
    for each in found:
        version = each["message"].partition("(version ")[2].partition(")")[0]
        client.delete_object(Bucket=name, Key=f"档案/{each['object']}", VersionId=version)
    assert replicated.json("verify", "--replica")["ok"]


def test_an_object_altered_behind_the_gateway(plain: Site, open_server: Server) -> None:
    """The storage's administrator."""
    name = open_server.bucket(f"altered{uuid.uuid4().hex[:8]}")
    init(plain, f"s3://{name}/x", open_server.endpoint)
    plain.run("replica", "sync")
    listed = open_server.client().list_objects_v2(Bucket=name, Prefix="x/objects/")["Contents"]
    keys = [each["Key"] for each in listed]
    open_server.alter(name, keys[0])
    open_server.destroy(name, keys[1])
    found = plain.json("verify", "--replica-sample", "100", code=5)["findings"]
    assert {each["object"] for each in found} == {key.removeprefix("x/") for key in keys}
    assert {each["code"] for each in found} <= {"A070", "A071", "A072", "A074"}
    assert plain.verified()["ok"]


def test_locked_too_short_unlocked_unheld_and_strangers(replicated: Site, url: str, server: Server) -> None:
    client, name = server.client(), url.split("/")[2]
    replicated.write("推荐/首次/短", "short")
    replicated.write("推荐/首次/无锁", "unlocked")
    replicated.write("推荐/首次/少字节", "too few bytes")
    replicated.catch_up()
    archive = replicated.open()
    digests = {m.path.decode(): m.sha256 for s in archive.index.submissions() for m in archive.index.materials(s)}
    archive.close()

    def put(path: str, data: bytes, **lock: object) -> None:
        sha256 = str(digests[path])
        key = f"档案/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}"
        client.put_object(Bucket=name, Key=key, Body=data, Metadata={"archiver-sha256": sha256}, **lock)

    soon = clock.read_clocks().wall + timedelta(days=10)
    put("短", b"short", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon)
    put("无锁", b"unlocked")
    put("少字节", b"few", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon + timedelta(days=4000))
    client.put_object(Bucket=name, Key="档案/something", Body=b"else")
    replicated.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    found = replicated.json("verify", "--replica", code=5)["findings"]
    assert {"A071", "A072", "A073", "A074", "A076"} == {each["code"] for each in found}
    # A sync mends what can be mended: with a new state it looks at what is there, and moves the locks.
    (replicated.archive / "replica.db").unlink()
    replicated.run("replica", "sync")
    left = {each["code"] for each in replicated.json("verify", "--replica", code=5)["findings"]}
    assert left <= {"A074"}


def test_suspended_versioning_is_refused_by_the_bucket(replicated: Site, url: str, server: Server) -> None:
    with pytest.raises(ClientError):
        server.client().put_bucket_versioning(
            Bucket=url.split("/")[2], VersioningConfiguration={"Status": "Suspended"}
        )


def test_settings_that_cannot_be(site: Site, keys: Path) -> None:
    give_keys(site, keys)
    site.configure(replica={"style": "round"})
    assert "replica.style" in site.run("status", code=3).stderr
    site.configure(replica={"style": "auto", "endpoint": "ftp://x"})
    assert "replica.endpoint" in site.run("status", code=3).stderr
