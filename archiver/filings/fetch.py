"""Fetch the company's own pages, with limits on time, size, redirects and addresses."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from archiver import __version__
from archiver.errors import LazyMessage

#: For the whole fetch, redirects included.  The daemon checks pages on the thread of its side jobs, so a slow page
#: delays the other jobs.
_MAX_SECONDS = 20.0
#: The page is journalled, and the journal is kept for ever.
MAX_PAGE_BYTES = 4 << 20
#: A site needs two or three redirects, from http to https and to its own path; more are probably a loop.
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16
#: A timeout of zero would make the socket non-blocking, and the connection would fail with another error than a
#: timeout.
_MIN_TIMEOUT_SECONDS = 0.1
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page that was fetched."""

    url: str  # the address of the page itself, after all redirects
    body: bytes  # at most MAX_PAGE_BYTES


class _PageResponse(NamedTuple):
    """The response to one request."""

    status: int  # the HTTP status code
    location: str  # the target of a redirect, possibly relative; empty if the response names no target
    body: bytes


class PageUnreachable(Exception):
    """The page cannot be fetched; ``reason`` is the cause, as a clause of a sentence."""

    def __init__(self, template: str, /, **fields: object) -> None:
        """Create the error; its reason is ``template`` with ``fields`` filled in."""
        super().__init__(template)
        self.reason = LazyMessage(template, **fields)


def fetch_page(url: str, *, allow_private: bool = False) -> FetchedPage:
    """Fetch the page at ``url``, an http or https URL, and follow its redirects.

    Unless ``allow_private`` is true, a host whose IP address is not on the public internet is refused.  The
    address is taken from the open connection, before anything is sent, because a second look-up of the host name
    could return another address.

    Raises PageUnreachable if the page cannot be fetched within the limits of this module.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    for _ in range(_MAX_REDIRECTS + 1):
        response = _request_page(url, allow_private, deadline)
        if response.status in _REDIRECT_STATUSES and response.location:
            url = urljoin(url, response.location)
        elif response.status == http.client.OK:
            return FetchedPage(url, response.body)
        else:
            raise PageUnreachable("the server returned status {status}", status=response.status)
    raise PageUnreachable("it is redirected more than {count} times", count=_MAX_REDIRECTS)


def _request_page(url: str, allow_private: bool, deadline: float) -> _PageResponse:
    """Send one GET request, without following redirects, and return the response.

    ``deadline`` is a time of ``time.monotonic()``.

    Raises PageUnreachable if the host's IP address is not allowed, if the connection fails or is too slow, or if
    the body is too large.
    """
    connection, request_target = _prepare_connection(url, deadline)
    try:
        connection.connect()
        peer_address = ipaddress.ip_address(connection.sock.getpeername()[0])
        # An IPv4 address in IPv6 notation, such as ::ffff:10.0.0.1, is judged like the IPv4 address itself.
        peer_address = getattr(peer_address, "ipv4_mapped", None) or peer_address
        if not peer_address.is_global and not allow_private:
            raise PageUnreachable(
                "its address {peer} is not public, and the configuration does not allow that", peer=peer_address
            )
        request_headers = {"User-Agent": f"archiver {__version__}", "Accept": "text/html,*/*"}
        connection.request("GET", request_target, headers=request_headers)
        response = connection.getresponse()
        location = response.getheader("Location") or ""
        return _PageResponse(response.status, location, _read_body(response, connection, deadline))
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise PageUnreachable("{reason}", reason=str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _prepare_connection(url: str, deadline: float) -> tuple[http.client.HTTPConnection, str]:
    """Return an unconnected connection to the host in ``url``, and the path and query to request there.

    Connecting and reading time out at ``deadline``, a time of ``time.monotonic()``.  The caller opens and closes
    the connection.  Raises PageUnreachable if ``url`` is not an http or https URL.
    """
    try:
        url_parts = urlsplit(url)
        host, port = url_parts.hostname or "", url_parts.port
    except ValueError:
        raise PageUnreachable("it is not the address of a web page") from None
    timeout_seconds = max(_MIN_TIMEOUT_SECONDS, deadline - time.monotonic())
    if url_parts.scheme == "https" and host:
        tls_context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout_seconds, context=tls_context
        )
    elif url_parts.scheme == "http" and host:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    else:
        raise PageUnreachable("it is not the address of a web page")
    query_suffix = f"?{url_parts.query}" if url_parts.query else ""
    return connection, (url_parts.path or "/") + query_suffix


def _read_body(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float
) -> bytes:
    """Read and return the whole body of ``response``.

    A socket's timeout applies to each read, so a server that sends single bytes could prolong the response without
    limit.  After each chunk, the timeout of ``connection`` is therefore shortened to the time that remains until
    ``deadline``, a time of ``time.monotonic()``.

    Raises PageUnreachable if the body is larger than MAX_PAGE_BYTES or not complete by ``deadline``, OSError or
    HTTPException if the connection fails.
    """
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise PageUnreachable("it is larger than {size} MB", size=MAX_PAGE_BYTES >> 20)
        remaining_seconds = deadline - time.monotonic()
        if remaining_seconds <= 0:
            raise PageUnreachable("loading takes longer than {seconds} s", seconds=round(_MAX_SECONDS))
        # If the server closes the connection after the response, http.client gives up its socket.  The timeout can
        # no longer be changed then, and only the check above ends the loop.
        if connection.sock is not None:
            connection.sock.settimeout(remaining_seconds)
    return bytes(body)
