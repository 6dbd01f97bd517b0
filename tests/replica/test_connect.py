"""The ways to a bucket: encrypted with a CA of one's own, through a proxy, by host name, with few rights."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.replica.conftest import write_keys
from tests.replica.proxy import proxied
from tests.replica.server import DOMAIN, WRITER, WRITER_SECRET, Server, free_base
from tests.support.site import Site

MANUAL = Path(__file__).parents[2] / "docs" / "offsite.md"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of one's own, and what it signed for the loopback address."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=our CA")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=bucket")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "ext")
    openssl("x509", "-req", "-in", "leaf.csr", "-out", "leaf.pem", *signing)
    return folder


@pytest.mark.needs("openssl")
def test_a_ca_of_ones_own(plain: Site, server: Server, url: str, certificate: Path, keys: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "leaf.pem", certificate / "leaf.key")
    with proxied(server.base, tls) as proxy:
        init_command = ("replica", "init", "--url", url, "--endpoint", proxy.endpoint)
        assert "certificate is not trusted" in plain.run(*init_command, code=8).stderr
        plain.configure(replica={"ca": certificate / "ca.pem"})
        plain.run(*init_command)
        plain.run("replica", "sync")
        assert plain.json("verify", "--replica-sample", "100")["ok"]
        restore_command = ("replica", "restore", "--url", url, "--endpoint", proxy.endpoint, "--credentials", keys)
        assert "certificate is not trusted" in plain.run(*restore_command, "--to", "back", code=8).stderr
        plain.run(*restore_command, "--to", "back", env={"AWS_CA_BUNDLE": str(certificate / "ca.pem")})


def test_a_ca_that_is_none(plain: Site, server: Server, url: str, keys: Path) -> None:
    plain.configure(replica={"ca": keys})
    init_command = ("replica", "init", "--url", url, "--endpoint", server.endpoint.replace("http:", "https:"))
    assert "replica.ca" in plain.run(*init_command, code=8).stderr


def test_through_a_proxy(plain: Site, server: Server, url: str) -> None:
    dead = f"http://127.0.0.1:{free_base(42)}"
    with proxied(server.base) as proxy:
        plain.configure(replica={"proxy": proxy.endpoint})
        plain.run("replica", "init", "--url", url, "--endpoint", dead)
        plain.run("replica", "sync")
        assert proxy.connections > 0
        assert plain.json("verify", "--replica-sample", "100")["ok"]


def test_the_bucket_in_the_host_name(plain: Site, server: Server, url: str) -> None:
    with proxied(server.base) as proxy:
        # The proxy stands for the name server that this machine has not.
        plain.configure(replica={"proxy": proxy.endpoint})
        plain.run("replica", "init", "--url", url, "--endpoint", f"http://{DOMAIN}", "--style", "virtual")
        plain.run("replica", "sync")
        assert plain.json("verify", "--replica-sample", "100")["ok"]


def grant_rights(server: Server, url: str, *, allowed_actions: re.Pattern[str]) -> None:
    """Give the other user the rights of the manual's policy, as far as they fit ``allowed_actions``."""
    block = re.search(r"```json\n(.*?)```", MANUAL.read_text("utf-8"), re.DOTALL)
    assert block is not None
    name, prefix = url.split("/")[2:]
    policy = json.loads(block[1].replace("BUCKET", name).replace("PREFIX", prefix))
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": [server.writer]}
        statement["Action"] = [action for action in statement["Action"] if allowed_actions.fullmatch(action)]
    server.client().put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def test_the_rights_of_the_manual_are_enough_and_no_more(
    plain: Site, server: Server, url: str, keys: Path
) -> None:
    grant_rights(server, url, allowed_actions=re.compile(".*"))
    write_keys(keys, WRITER, WRITER_SECRET)
    plain.run("replica", "init", "--url", url, "--endpoint", server.endpoint)
    plain.run("hold", "place", "抽查", "推荐", "--reason", "spot check")
    plain.run("replica", "sync")
    plain.run("hold", "lift", "抽查", "--reason", "done")
    plain.run("replica", "sync")
    assert plain.json("verify", "--replica-sample", "100")["ok"]
    name = url.split("/")[2]
    other = ("replica", "init", "--url", f"s3://{name}/other", "--endpoint", server.endpoint)
    assert "access denied for this key" in plain.run(*other, code=8).stderr
    client = server.client(WRITER, WRITER_SECRET)
    suspended = {"Bucket": name, "VersioningConfiguration": {"Status": "Suspended"}}
    with pytest.raises(ClientError):
        client.put_bucket_versioning(**suspended)
    for attempt in (client.delete_bucket_policy, client.delete_bucket):
        with pytest.raises(ClientError):
            attempt(Bucket=name)
    # A drill only reads.
    grant_rights(server, url, allowed_actions=re.compile("s3:(List|GetBucket).*|s3:GetObject(Version)?"))
    restore_command = ("replica", "restore", "--url", url, "--endpoint", server.endpoint, "--credentials", keys)
    plain.run(*restore_command, "--to", "back")
    plain.write("推荐/首次/新", "new")
    plain.catch_up()
    assert "access denied for this key" in plain.run("replica", "sync", code=8).stderr
