"""The archive is gone, the owner turned against the bucket, and everything comes back."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from archiver import clock
from archiver.config.loader import load_config
from archiver.replica.bucket import ObjectVersion
from archiver.replica.rebuild import _download_if_undamaged
from archiver.replica.s3 import S3Bucket
from tests.replica.conftest import write_keys
from tests.replica.proxy import proxied
from tests.replica.server import ACCESS, SECRET, Server
from tests.support import git_three
from tests.support.site import COMMAND, Site, tree, wait_until


def delete_all_that_can_be(server: Server, url: str) -> tuple[int, int]:
    """Delete whatever the owner's own keys can delete: versions that were deleted, and that were not."""
    client, name = server.client(), url.split("/")[2]
    deleted = refused = 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for each in page.get("Versions", []):
            client.delete_object(Bucket=name, Key=each["Key"])
            try:
                client.delete_object(
                    Bucket=name, Key=each["Key"], VersionId=each["VersionId"], BypassGovernanceRetention=True
                )
                deleted += 1
            except ClientError:
                refused += 1
    return deleted, refused


def restore(site: Site, server: Server, url: str, to: Path, *more: object, code: int = 0) -> Any:
    keys = write_keys(to.with_name("recovery-keys"), ACCESS, SECRET)
    words = ("replica", "restore", "--url", url, "--endpoint", server.endpoint, "--credentials", keys, "--to", to)
    return site.run(*words, *more, code=code)


def recovered_site(archive: Path) -> Site:
    """The site that a recovered archive makes, with the configuration that came with it."""
    config = archive.with_name(f"{archive.name}.toml")
    return Site.at(archive.parent, watch=archive.parent / "watched", archive=archive, config=config)


def test_everything_comes_back_from_the_bucket_alone(replicated: Site, server: Server, url: str) -> None:
    replicated.write("推荐/首次/自评估 报告", "second draft")
    replicated.write("生成/首次/大", os.urandom(33 << 20))
    replicated.catch_up()
    replicated.run("submit", "推荐/首次", "--on", "2026-01-01")
    replicated.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    key_backup = replicated.root / "kept-keys"
    replicated.run("key", "backup", "--to", key_backup)
    checkpoint_output = replicated.run("checkpoint").stdout.splitlines()
    line = next(word for word in checkpoint_output if word.startswith("archiver-witness"))
    replicated.run("replica", "sync")
    content = tree(replicated.repository / "lfs")
    refs = replicated.git("for-each-ref").stdout
    log = replicated.json("log")
    _, refused = delete_all_that_can_be(server, url)
    assert refused >= 6
    shutil.rmtree(replicated.archive)

    back = replicated.root / "back"
    restore(replicated, server, url, back, "--keys", key_backup)
    recovered = recovered_site(back)
    assert {path: data for path, (data, _) in tree(recovered.repository / "lfs").items()} == {
        path: data for path, (data, _) in content.items()
    }
    assert recovered.git("for-each-ref").stdout == refs
    assert recovered.json("log") == log
    recovered.verified()
    assert "is unchanged" in recovered.run("verify", "--since", line).stdout
    # And it is an archive like any other: it goes on.
    recovered.write("推荐/首次/自评估 报告", "third draft")
    recovered.catch_up()
    sent = recovered.run("replica", "sync", "--now").stdout
    assert sent.startswith("Uploaded objects: 1 ")
    assert {each["code"] for each in recovered.json("verify", "--replica", code=5)["findings"]} == {"A075"}


def test_the_configuration_names_the_folder_that_was_watched_last(
    replicated: Site, server: Server, url: str
) -> None:
    restore(replicated, server, url, replicated.root / "first", "--only-history")
    recovered = recovered_site(replicated.root / "first")
    assert load_config(recovered.config).watch == replicated.watch
    moved = replicated.watch.rename(replicated.root / "新的 place")
    replicated.configure(watch={"path": os.fspath(moved)})
    replicated.catch_up()
    replicated.run("replica", "sync")
    restore(replicated, server, url, replicated.root / "second", "--only-history")
    recovered = recovered_site(replicated.root / "second")
    assert load_config(recovered.config).watch == moved


def test_without_the_key_it_is_readable_and_says_so(replicated: Site, server: Server, url: str) -> None:
    done = restore(replicated, server, url, replicated.root / "back")
    assert "Copy its backup to" in done.stdout
    recovered = recovered_site(replicated.root / "back")
    recovered.verified()
    out = replicated.root / "out"
    recovered.run("restore", "推荐/首次/v1", "--to", out)
    assert (out / "自评估 报告").read_text() == "first draft"


def test_only_the_history(replicated: Site, server: Server, url: str) -> None:
    restore(replicated, server, url, replicated.root / "back", "--only-history")
    recovered = recovered_site(replicated.root / "back")
    assert recovered.tags() == replicated.tags()
    assert [finding["code"] for finding in recovered.findings()] == ["A050", "A050"]
    assert (
        "The archive lacks the content of"
        in recovered.run("restore", "推荐/首次/v1", "--to", replicated.root / "out", code=7).stderr
    )
    # The contents follow when it is run again.
    restore(replicated, server, url, replicated.root / "back")
    recovered.verified()


def test_a_rebuilt_configuration_promises_nothing_new(replicated: Site, server: Server, url: str) -> None:
    """The longest period of one filing became that of everything."""
    replicated.configure(filings={"推荐": {"profiles": ["eu-ai-act"]}}, retention={"timezone": "UTC"})
    replicated.run("retention", "accept")
    accepted = replicated.json("retention", "show")["accepted"]
    replicated.run("replica", "sync")
    restore(replicated, server, url, replicated.root / "back", "--only-history")
    recovered = recovered_site(replicated.root / "back")
    settings = {each["key"]: each["value"] for each in recovered.json("config", "show")["settings"]}
    assert settings["retention.years"] == 3
    assert settings["watch.path"] == str(replicated.watch)
    shown = recovered.json("retention", "show")
    assert (shown["accepted"], shown["waiting"]) == (accepted, [])


def test_killed_and_cut_and_run_again(replicated: Site, server: Server, url: str) -> None:
    for number in range(30):
        replicated.write(f"推荐/首次/材料{number}", os.urandom(200_000))
    replicated.catch_up()
    replicated.run("replica", "sync")
    back = replicated.root / "back"
    keys = write_keys(replicated.root / "recovery-keys", ACCESS, SECRET)
    with proxied(server.base) as proxy:
        words = (
            "replica",
            "restore",
            "--url",
            url,
            "--endpoint",
            proxy.endpoint,
            "--credentials",
            keys,
            "--to",
            back,
        )
        proxy.cut_down = 300_000
        assert "ended in the middle" in replicated.run(*words, code=8).stderr
        proxy.cut_down = None
        process = subprocess.Popen([COMMAND, *map(os.fspath, words)], stderr=subprocess.DEVNULL)
        wait_until(lambda: (back / "archive.git").exists() or process.poll() is not None)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    restore(replicated, server, url, back)
    recovered = recovered_site(back)
    recovered.verified()
    assert not list((back / "spool").iterdir()) or all(
        p.name.startswith("tmp") for p in (back / "spool").iterdir()
    )


@pytest.mark.parametrize("failing_step", ["mode", "last bytes"])
def test_a_download_that_cannot_be_finished_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_step: str
) -> None:
    """The last bytes are in a buffer until the end: only then a full disk, here a limit on files, refuses them."""

    class OneObject(S3Bucket):
        def __init__(self) -> None:
            """Have no server."""

        def download(self, key: str, version_id: str) -> Iterator[bytes]:
            yield b"content"

    version = ObjectVersion("a key", "1", 7, True, False, clock.read_clocks().wall)
    with monkeypatch.context() as patched, ExitStack() as limits:
        if failing_step == "mode":
            patched.setattr(os, "fchmod", lambda *_: os.chmod(tmp_path / "nowhere", 0))
        else:
            limits.callback(resource.setrlimit, resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE))
            resource.setrlimit(resource.RLIMIT_FSIZE, (3, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        with pytest.raises(OSError, match=r"No such file|too large"):
            _download_if_undamaged(OneObject(), tmp_path, version, hashlib.sha256(b"content").hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_prefix_has_no_archive(site: Site, server: Server, url: str) -> None:
    done = restore(site, server, url, site.root / "back", code=7)
    assert "no archive history" in done.stderr
    assert not (site.root / "back").exists()


def test_it_comes_back_whatever_format_git_prefers(
    replicated: Site, server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = replicated.git("for-each-ref").stdout
    git_three.take_defaults(tmp_path / "git-3", monkeypatch)
    restore(replicated, server, url, replicated.root / "back")
    recovered = recovered_site(replicated.root / "back")
    assert recovered.git("for-each-ref").stdout == refs
    recovered.verified()


def test_a_repository_of_another_format_is_not_left(
    replicated: Site, server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = r"printf '[extensions]\n\trefstorage = reftable\n' >> config"
    git_three.change_what_is_made(tmp_path / "bin", change, monkeypatch)
    done = restore(replicated, server, url, replicated.root / "back", code=8)
    assert "another format" in done.stderr
    assert not (replicated.root / "back").exists()


def test_bundles_of_a_stranger_change_nothing(replicated: Site, server: Server, url: str) -> None:
    """Whoever has the bucket's keys can add; what was there first is taken."""
    client, name = server.client(), url.split("/")[2]
    listed = client.list_objects_v2(Bucket=name, Prefix="档案/history/")["Contents"]
    client.put_object(Bucket=name, Key=listed[0]["Key"], Body=b"rubbish")
    first, last = "0000000001", "0000000099"
    client.put_object(
        Bucket=name, Key=f"档案/history/{first}-{last}-{'a' * 40}.bundle", Body=b"# v2 git bundle\n\n"
    )
    for each in client.list_objects_v2(Bucket=name, Prefix="档案/objects/")["Contents"]:
        client.put_object(Bucket=name, Key=each["Key"], Body=b"rubbish")
    restore(replicated, server, url, replicated.root / "back")
    recovered_site(replicated.root / "back").verified()
    codes = {each["code"] for each in replicated.json("verify", "--replica", code=5)["findings"]}
    assert codes == {"A074"}
    assert "was not written by this archive" in replicated.run("replica", "sync", code=8).stderr
