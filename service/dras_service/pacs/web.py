"""A peer's DICOMweb service, called by the rules for addresses: resolved once, no redirects, bounded in time.

Leaves out what is asked of it: `retrieve.dicomweb`, `send.stow`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from dras_service.addresses import AddressRefused, resolve
from dras_service.pacs.configuration import Peer
from dras_service.pacs.failures import PeerFailed

_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class _Rules:
    """The one host that the operator's file names; a PACS lies in a private network."""

    allow: tuple[str, ...]
    allow_http: bool
    allow_private: bool = True


class Web:
    """One peer's service, over one connection that is kept."""

    def __init__(self, peer: Peer) -> None:
        self._base = (peer.dicomweb or "").rstrip("/")
        self._rules = _Rules((urlsplit(self._base).hostname or "",), peer.allow_http)
        self._auth = _credentials(peer)
        verify: Any = str(peer.authorities) if peer.authorities else True
        self._http = httpx2.Client(
            timeout=peer.timeout_s, follow_redirects=False, trust_env=False, verify=verify
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @contextmanager
    def answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str],
        content: Iterator[bytes] | None = None,
    ) -> Iterator[httpx2.Response]:
        """Open an answer whose body is not read yet; times out when nothing comes. Raises PeerFailed."""
        url = f"{self._base}{path}"
        if query:  # some archives take a wildcard only as it is
            url += "?" + urlencode(query, safe="*?,", quote_via=quote)
        try:
            target = resolve(url, self._rules)
            request = self._http.build_request(
                method,
                target.url,
                headers={**headers, **self._auth, "Host": target.authority},
                content=content,
                extensions={"sni_hostname": target.host},
            )
            answer = self._http.send(request, stream=True)
        except AddressRefused as error:
            raise PeerFailed(f"The archive's address is refused: {error}.", may_pass=False) from error
        except (httpx2.HTTPError, OSError) as error:
            raise PeerFailed(f"The archive cannot be reached ({type(error).__name__}).") from error
        try:
            yield answer
        except httpx2.HTTPError as error:
            raise PeerFailed(f"The archive's answer broke off ({type(error).__name__}).") from error
        finally:
            answer.close()


def check_status(answer: httpx2.Response) -> None:
    """Raise PeerFailed where an answer is none of success."""
    if not answer.is_success:
        passing = answer.status_code >= 500 or answer.status_code in (408, 429)
        raise PeerFailed(f"The archive answered with status {answer.status_code}.", may_pass=passing)


def read_bounded(answer: httpx2.Response, *, most_bytes: int) -> bytes:
    """Return a body that may not be larger. Raises PeerFailed."""
    body = bytearray()
    for block in answer.iter_bytes(_BLOCK):
        body += block
        if len(body) > most_bytes:
            raise PeerFailed("The archive answered with more than is taken.", may_pass=False)
    return bytes(body)


def _credentials(peer: Peer) -> dict[str, str]:
    if peer.secret_file is None:
        return {}
    secret = peer.secret_file.read_text("utf-8").strip()
    if peer.user is None:
        return {"Authorization": f"Bearer {secret}"}
    request = next(httpx2.BasicAuth(peer.user, secret).auth_flow(httpx2.Request("GET", "http://host")))
    return {"Authorization": request.headers["Authorization"]}
