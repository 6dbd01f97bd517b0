"""A key that was being generated when the process was killed."""

from __future__ import annotations

import pytest

from tests.support.site import Site


@pytest.mark.parametrize("left", [b"", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r"])
@pytest.mark.parametrize("how", ["rotate", "replace"])
def test_a_prepared_key_that_was_cut_keeps_nobody_from_writing(site: Site, left: bytes, how: str) -> None:
    """No event names it yet, so that the key in use stays in use."""
    prepared = site.archive / "keys/signing_key.new"
    prepared.write_bytes(left)
    prepared.chmod(0o600)
    # So says the lock of a process that crashed.
    (site.archive / "lock").write_text("12345 (killed)")
    site.write("f/s/a", "1")
    site.catch_up()
    assert not prepared.exists()
    site.run("submit", "f/s", "--on", "2026-01-01")
    site.run("key", how, "--reason", "again")
    site.verified()
