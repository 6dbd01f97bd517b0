"""Fetching the company's own pages, with limits on time, size, redirects and where it may lead."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from archiver import __version__
from archiver.errors import Phrase

_SECONDS = 20.0
#: Of a page; it is kept in the journal.
LARGEST_BYTES = 4 << 20
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Page:
    """What came back: the address in the end, and the bytes."""

    address: str
    data: bytes


class Unreachable(Exception):
    """The page cannot be had; ``reason`` says why."""

    def __init__(self, template: str, **fields: object) -> None:
        super().__init__(template)
        self.reason = Phrase(template, **fields)


def fetch(address: str, *, allow_private: bool = False) -> Page:
    """Get a page; raises Unreachable.

    Whether an address is private is asked of the connection itself, after the
    name was resolved and before anything is sent, so that no answer of a name
    server can lead elsewhere.
    """
    until = time.monotonic() + _SECONDS
    for _ in range(_MOST_REDIRECTS + 1):
        status, location, data = _once(address, allow_private, until)
        if status in _REDIRECTS and location:
            address = urljoin(address, location)
        elif status == http.client.OK:
            return Page(address, data)
        else:
            raise Unreachable("the server answers with status {status}", status=status)
    raise Unreachable("it is redirected more than {count} times", count=_MOST_REDIRECTS)


def _once(address: str, allow_private: bool, until: float) -> tuple[int, str, bytes]:
    connection, path = _connection(address, until)
    try:
        connection.connect()
        peer = ipaddress.ip_address(connection.sock.getpeername()[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        if not peer.is_global and not allow_private:
            raise Unreachable("its address {peer} is not public, and the settings do not allow that", peer=peer)
        connection.request(
            "GET", path, headers={"User-Agent": f"archiver {__version__}", "Accept": "text/html,*/*"}
        )
        response = connection.getresponse()
        return response.status, response.getheader("Location") or "", _read(response, connection, until)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise Unreachable("{reason}", reason=str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _connection(address: str, until: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unreachable("it is no address of a page") from None
    seconds = max(0.1, until - time.monotonic())
    if parts.scheme == "https" and host:
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=seconds, context=context
        )
    elif parts.scheme == "http" and host:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
    else:
        raise Unreachable("it is no address of a page")
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _read(response: http.client.HTTPResponse, connection: http.client.HTTPConnection, until: float) -> bytes:
    """A server that sends a byte at a time would else hold us for as long as it likes."""
    data = bytearray()
    while chunk := response.read1(1 << 16):
        data += chunk
        if len(data) > LARGEST_BYTES:
            raise Unreachable("it is larger than {size} MB", size=LARGEST_BYTES >> 20)
        left = until - time.monotonic()
        if left <= 0:
            raise Unreachable("it takes longer than {seconds} s", seconds=round(_SECONDS))
        if connection.sock is not None:
            connection.sock.settimeout(left)
    return bytes(data)
