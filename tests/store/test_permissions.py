from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from archiver.store import permissions
from tests.conftest import COMMAND, Site


def modes(root: Path) -> dict[str, int]:
    return {
        os.fspath(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]
    }


def test_a_new_archive_is_nobody_elses(bare_site: Site) -> None:
    before = os.umask(0)
    try:
        bare_site.init()
        bare_site.write("f/s/a", "1")
        bare_site.catch_up()
        bare_site.run("submit", "f/s", "--on", "2026-01-01")
    finally:
        os.umask(before)
    found = modes(bare_site.archive)
    assert found["."] == 0o2750
    assert found["keys"] == 0o2750
    assert found["keys/signing_key"] == 0o600
    # Content objects are made 0444; nobody else gets as far as them.
    others = {name for name, mode in found.items() if mode & 0o007 and "lfs/objects/" not in name}
    assert others <= {"keys/allowed_signers", "socket"}, others
    bare_site.verified()


@pytest.mark.needs("root")
def test_an_archive_that_was_open_to_all_is_closed_at_the_next_start(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    group = 65534
    for path in [site.archive, *site.archive.rglob("*")]:
        if "keys" not in path.parts:
            path.chmod(0o755 if path.is_dir() else 0o644 if "lfs" not in path.parts else 0o444)
    assert {each["code"] for each in site.findings()} >= {"A061"}
    text = site.config.read_text()
    site.config.write_text(f'{text}\n[access]\nread_group = "nogroup"\n')
    site.repository.joinpath("hooks/reference-transaction").chmod(0o755)
    site.repository.joinpath("hooks/pre-receive").chmod(0o755)
    site.catch_up()
    assert all(path.stat().st_gid == group for path in site.repository.rglob("*"))
    assert site.archive.joinpath("keys/signing_key").stat().st_gid != group
    site.verified()
    assert permissions.is_open_to(site.archive, group)


@pytest.mark.parametrize("how", ["root", "keys", "key", "refs", "owner"])
@pytest.mark.needs("root")
def test_permissions_that_were_widened_are_found(site: Site, how: str) -> None:
    if how == "root":
        site.archive.chmod(0o755)
    elif how == "keys":
        (site.archive / "keys").chmod(0o755)
    elif how == "key":
        (site.archive / "keys/signing_key").chmod(0o640)
    elif how == "refs":
        (site.repository / "refs/heads/journal").chmod(0o666)
    else:
        os.chown(site.repository / "HEAD", 65534, -1)
    assert {each["code"] for each in site.findings()} == {"A061"}


@pytest.mark.needs("root", "chattr")
def test_immutable_content_cannot_even_be_removed_by_root(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    assert site.json("status")["protection"] == "permissions"
    out = site.run("protect").stdout
    [content] = [path for path in (site.repository / "lfs/objects").rglob("*") if path.is_file()]
    try:
        assert "1 content objects are immutable now" in out
        assert "i" in subprocess.run(["lsattr", content], capture_output=True, text=True).stdout.split()[0]
        assert site.json("status")["protection"] == "immutable"
        for attempt in (
            content.unlink,
            lambda: content.write_text("x"),
            lambda: os.link(content, site.root / "x"),
        ):
            with pytest.raises(PermissionError):
                attempt()
        assert subprocess.run(["rm", "-f", content], capture_output=True).returncode != 0
        site.verified()
        site.write("f/s/b", "2")
        site.catch_up()
        assert site.json("status")["protection"] == "permissions", "not everything is, any more"
        assert json.loads(site.git("log", "-1", "--format=%B", "journal").stdout.split()[0]) > 0
    finally:
        site.run("protect", "--off")
    assert site.json("status")["protection"] == "permissions"
    content.unlink()


@pytest.mark.needs("root", "setpriv", "chattr")
def test_without_the_capability_it_says_so(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    command = ["setpriv", "--bounding-set", "-linux_immutable", "--inh-caps", "-linux_immutable", COMMAND]
    done = subprocess.run(
        [*command, "--config", site.config, "protect"], capture_output=True, text=True, cwd=site.root
    )
    assert done.returncode == 8, done.stdout + done.stderr
    assert "CAP_LINUX_IMMUTABLE" in done.stderr
    site.verified()
