"""The signed head of the journal: a document that the archive's key signs at the end of each batch (format 2).

The head states how many events there are in the archive and in each chain.  So nobody without the key can append
an event, leave out an event, or cut off the end of the journal, and a package for one filing proves that none of
the filing's events is missing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from archiver.store.events.canonical_json import encode_canonical, is_canonical
from archiver.store.events.digests import parse_sha256
from archiver.store.events.validation import load_json_object

HEAD_FILE = "head.json"
HEAD_SIGNATURE_FILE = "head.sig"
#: The namespace of the SSH signature (openssh PROTOCOL.sshsig), for which ``allowed_signers`` must allow the key.
HEAD_NAMESPACE = "archiver-head"

_INTEGERS = ("format", "first", "batch", "last", "chains")
_DIGESTS = ("archive", "event", "chain_heads", "previous_head")
_TEXTS = ("key",)
_MEMBERS = frozenset({*_INTEGERS, *_DIGESTS, *_TEXTS})
#: An optional member, which most heads do not have.
_ABANDONED = "abandoned"


class SignedHead(NamedTuple):
    """The members of ``head.json``; digests are written ``sha256:<hex>``."""

    #: The digest of the archive's first ``event.json``, which identifies the archive.
    archive: str
    #: The number of the format.
    format: int
    #: The numbers of the first and the last of the events that this head covers and no earlier head does.
    first: int
    last: int
    #: The number of the first event of the batch at whose end this head was signed. The events from :attr:`first`
    #: up to that one were written earlier and without a signature, because no key was usable, or because somebody
    #: without the key wrote them.
    batch: int
    #: The digest of the last ``event.json``.
    event: str
    #: The result of :func:`archiver.store.events.chains.digest_chain_heads`, and the number of chains.
    chain_heads: str
    chains: int
    #: The fingerprint of the key, as ``ssh-keygen -l`` prints it: ``SHA256:<base64>``.
    key: str
    #: The digest of the previous ``head.json``; :data:`archiver.store.events.digests.GENESIS` in the first head.
    previous_head: str
    #: Digests of heads that were signed, but whose events never became part of the journal, because of a crash.
    abandoned: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes of ``head.json``, canonical JSON; the key signs exactly these bytes."""
        members = {name: getattr(self, name) for name in sorted(_MEMBERS)}
        if self.abandoned:
            members[_ABANDONED] = list(self.abandoned)
        return encode_canonical(members)


def parse_signed_head(data: bytes) -> SignedHead:
    """Parse the bytes of a ``head.json``, without checking the signature.

    Raises ValueError if a member is missing, unknown, or of another kind, or if the bytes are not canonical JSON.
    Members that begin with ``x-`` are ignored.
    """
    document = load_json_object(data)
    if not is_canonical(document, data):
        raise ValueError("not canonical JSON")
    members = {name: value for name, value in document.items() if not name.startswith("x-")}
    abandoned = members.pop(_ABANDONED, [])
    if members.keys() != _MEMBERS or not isinstance(abandoned, list):
        raise ValueError("a member is missing or unknown")
    for digest in abandoned:
        parse_sha256(digest)
    for name in _DIGESTS:
        parse_sha256(members[name])
    for name in _INTEGERS:
        _check_positive_integer(members[name], name)
    if not isinstance(members["key"], str) or not members["first"] <= members["batch"] <= members["last"]:
        raise ValueError("a member is of another kind")
    return SignedHead(**members, abandoned=tuple(abandoned))


def _check_positive_integer(value: Any, name: str) -> None:
    """Raise ValueError unless ``value`` is an integer from 1 that SQLite can store."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 63:
        raise ValueError(f"{name} is no number")
