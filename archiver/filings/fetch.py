"""Fetch the company's own pages, with limits on time, size, redirects and addresses."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from archiver import __version__
from archiver.errors import LazyMessage

#: For the whole fetch, redirects included; the daemon checks pages on the thread of its side jobs.
_MAX_SECONDS = 20.0
#: The page is journalled, and the journal is kept for ever.
LARGEST_BYTES = 4 << 20
#: A site needs two or three, from http to https and to its own path; more go in a circle.
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16
#: Seconds: with zero, at the deadline, the socket would not block at all, and fail with an error about that.
_SHORTEST_TIMEOUT = 0.1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as fetched."""

    address: str  # after redirects
    data: bytes


class PageUnreachable(Exception):
    """The page cannot be fetched; ``reason`` says why."""

    def __init__(self, template: str, /, **fields: object) -> None:
        super().__init__(template)
        self.reason = LazyMessage(template, **fields)


def fetch_page(address: str, *, allow_private: bool = False) -> FetchedPage:
    """Fetch a page, following redirects; raises PageUnreachable.

    An address of the internal network is refused unless ``allow_private``.  The check uses the connected peer,
    before anything is sent: a check of the name could be passed by a name server that changes its answer.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    for _ in range(_MAX_REDIRECTS + 1):
        status, location, data = _request(address, allow_private, deadline)
        if status in _REDIRECTS and location:
            address = urljoin(address, location)
        elif status == http.client.OK:
            return FetchedPage(address, data)
        else:
            raise PageUnreachable("the server answers with status {status}", status=status)
    raise PageUnreachable("it is redirected more than {count} times", count=_MAX_REDIRECTS)


def _request(address: str, allow_private: bool, deadline: float) -> tuple[int, str, bytes]:
    """Return status, target of a redirect and body of one request; raises PageUnreachable."""
    connection, path = _open_connection(address, deadline)
    try:
        connection.connect()
        peer_address = ipaddress.ip_address(connection.sock.getpeername()[0])
        peer_address = getattr(peer_address, "ipv4_mapped", None) or peer_address
        if not peer_address.is_global and not allow_private:
            raise PageUnreachable(
                "its address {peer} is not public, and the settings do not allow that", peer=peer_address
            )
        connection.request(
            "GET", path, headers={"User-Agent": f"archiver {__version__}", "Accept": "text/html,*/*"}
        )
        response = connection.getresponse()
        return response.status, response.getheader("Location") or "", _read_body(response, connection, deadline)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise PageUnreachable("{reason}", reason=str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _open_connection(address: str, deadline: float) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection, for the caller to connect and close, and the path; raises PageUnreachable."""
    try:
        url_parts = urlsplit(address)
        host, port = url_parts.hostname or "", url_parts.port
    except ValueError:
        raise PageUnreachable("it is no address of a page") from None
    timeout_seconds = max(_SHORTEST_TIMEOUT, deadline - time.monotonic())
    if url_parts.scheme == "https" and host:
        tls_context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout_seconds, context=tls_context
        )
    elif url_parts.scheme == "http" and host:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    else:
        raise PageUnreachable("it is no address of a page")
    return connection, (url_parts.path or "/") + (f"?{url_parts.query}" if url_parts.query else "")


def _read_body(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float
) -> bytes:
    """Read at most LARGEST_BYTES until the deadline; raises PageUnreachable.

    The timeout of a socket starts anew with each byte, so that a server that sends slowly would have no limit.
    """
    data = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        data += chunk
        if len(data) > LARGEST_BYTES:
            raise PageUnreachable("it is larger than {size} MB", size=LARGEST_BYTES >> 20)
        remaining_seconds = deadline - time.monotonic()
        if remaining_seconds <= 0:
            raise PageUnreachable("it takes longer than {seconds} s", seconds=round(_MAX_SECONDS))
        if connection.sock is not None:
            connection.sock.settimeout(remaining_seconds)
    return bytes(data)
