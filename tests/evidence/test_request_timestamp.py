"""When the daemon asks for a time-stamp token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archiver.evidence.request_timestamp import is_token_due, request_and_journal_token
from tests.support.authority import Authority
from tests.support.journal_model import read_journal, sha256
from tests.support.site import Site


class InterruptedAuthority(Authority):
    """Something happens after the request and before the answer."""

    site: Site | None = None

    def answer(self, query: bytes) -> bytes:
        if self.site is not None:
            self.site.run("checkpoint")
        return super().answer(query)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[InterruptedAuthority]:
    authority = InterruptedAuthority(tmp_path / "authority")
    yield authority
    authority.close()


@pytest.mark.needs("openssl")
def test_a_checkpoint_during_the_request_is_not_covered(bare_site: Site, authority: InterruptedAuthority) -> None:
    """The event of the token comes after the checkpoint, and the event that the token covers before it."""
    site = bare_site.init("--tsa-url", authority.url, "--tsa-root", str(authority.root))
    url = authority.url
    # Without this the command asks for a token itself.
    site.set("timestamp", "url", '""')
    with closing(site.open()) as archive:
        assert not is_token_due(archive), "there is no checkpoint to cover"
        authority.site = site
        request_and_journal_token(archive, url, 5)
        assert is_token_due(archive)
        authority.site = None
        request_and_journal_token(archive, url, 5)
        assert not is_token_due(archive)
        archive.reindex()
        assert not is_token_due(archive)
    site.verified()
    # A token is over the newest head at the time of the request: every event up to its last one.
    for token in site.events("timestamp"):
        covered = read_journal(site.repository)[token["details"]["seq"] - 1]
        assert token["details"]["head"] == sha256(covered.files["head.json"] or b"")
        assert "event_sha256" not in token["details"]
