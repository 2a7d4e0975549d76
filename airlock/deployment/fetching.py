"""Fetches an input by URL without becoming anybody's way into the network (server-side request forgery, CWE-918).

A name is resolved once, every address it has must be public, and the connection goes to the address that was checked;
a redirect is another fetch and is checked alike. Nothing is taken from the environment: no proxy, no credentials.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import msgspec

from airlock.errors import SourceError

MOST_REDIRECTS = 3
MOST_URL = 2_048
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NAT64 = ipaddress.ip_network("64:ff9b::/96")
SHARED = ipaddress.ip_network("100.64.0.0/10")
HINT = "Upload the input instead."

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Fetched(msgspec.Struct, frozen=True):
    """:param kind: media type, lower case, without parameters."""

    content: bytes
    kind: str


def public(address: Address) -> bool:
    """Is this an address of the public internet, whatever form of IPv6 an IPv4 address hides in?"""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in NAT64 or int(address) >> 32 == 0:  # the latter: IPv4-compatible, long deprecated
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner and not public(inner):
            return False
    if isinstance(address, ipaddress.IPv4Address) and address in SHARED:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class Guarded(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to whatever the allowed names resolve to.

    :param allowed: lower-case host names.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = frozenset(name.lower() for name in allowed)
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check, and connect to the address that was checked."""
        addresses = await _resolve(host, port)
        refused = [address for address in addresses if not public(address)]
        if refused and host.lower() not in self.allowed:
            raise SourceError(
                f"The URL's host {host!r} has the address {refused[0]}, which is not a public one.", hint=HINT
            )
        return await self._plain.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Any = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Never: no URL leads to one."""
        raise SourceError(f"{path!r} is no network address.", hint=HINT)

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        await asyncio.sleep(seconds)


class Fetcher:
    """Fetches over http and https.

    :param limit: bytes that are read.
    :param seconds: for everything, redirects included.
    :param allowed: host names that may have private addresses.
    """

    def __init__(self, limit: int, seconds: float, allowed: Iterable[str] = ()) -> None:
        self.limit = limit
        self.seconds = seconds
        self._backend = Guarded(allowed)

    async def fetch(self, url: str) -> Fetched:
        """Return what is at a URL.

        :raises SourceError: not a URL that may be fetched, too slow, too large, or the answer is no success.
        """
        try:
            async with asyncio.timeout(self.seconds), self._pool() as pool:
                for _ in range(MOST_REDIRECTS + 1):
                    found = await self._get(pool, url)
                    if isinstance(found, Fetched):
                        return found
                    url = urljoin(url, found)
        except TimeoutError as error:
            raise SourceError(f"The URL was not fetched within {self.seconds:g} s.", hint=HINT) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise SourceError(f"The URL cannot be fetched: {error or type(error).__name__}.", hint=HINT) from error
        raise SourceError(f"The URL redirects more than {MOST_REDIRECTS} times.", hint="Give the final URL.")

    def _pool(self) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(network_backend=self._backend, max_connections=1)

    async def _get(self, pool: httpcore.AsyncConnectionPool, url: str) -> Fetched | str:
        """Return the content, or where a redirect leads."""
        _require(url)
        headers: dict[bytes | str, bytes | str] = {
            "Accept-Encoding": "identity",
            "User-Agent": "airlock",
            "Host": urlsplit(url).netloc,
        }
        async with pool.stream("GET", url, headers=headers) as reply:
            answered = {name.lower(): value.decode("latin-1") for name, value in reply.headers}
            location = answered.get(b"location")
            if reply.status in REDIRECTS and location:
                return location
            if reply.status != 200:
                raise SourceError(f"The URL answered {reply.status}.", hint=HINT)
            if answered.get(b"content-encoding", "identity") != "identity":
                raise SourceError("The URL answered with compressed content.", hint=HINT)
            content = bytearray()
            async for chunk in reply.aiter_stream():
                content += chunk
                if len(content) > self.limit:
                    raise SourceError(f"The URL has more than {self.limit} bytes.", hint="Give a smaller input.")
            kind = answered.get(b"content-type", "").partition(";")[0].strip().lower()
            return Fetched(bytes(content), kind)


def _require(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise SourceError(f"{url[:80]!r} is no http or https URL.", hint=HINT)
    if parts.username or parts.password:
        raise SourceError("The URL names a user.", hint="Give one without.")


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"The URL's host {host!r} is not known.", hint=HINT) from error
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
