"""Keeps a page of elsewhere from reading a service that runs without authentication on loopback.

A browser on this machine can be brought to send another site's pages here (DNS rebinding); it cannot be
brought to name this machine in the Host header then.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dras_service.api.problems import Problem, ProblemCode
from dras_service.gateway.problems import problem_answer


class LoopbackOnly:
    """Wraps an application: a request that names another host is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's message stream."""
        if scope["type"] == "http" and not is_loopback(_host(Headers(scope=scope).get("host", ""))):
            await problem_answer(Problem.of(ProblemCode.BAD_REQUEST))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine whatever any name server says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(header: str) -> str:
    """Return a Host header without its port (RFC 9110, 7.2)."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
