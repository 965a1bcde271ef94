"""Which route a study takes, by who sends it, whom it is sent to, and what its images say, each for itself."""

import ipaddress
import re
from collections.abc import Callable

from dras_service.api.options import JobOptions
from dras_service.gathering.completeness import Handling
from dras_service.gathering.room import Origin
from dras_service.header import STUDY, Header
from dras_service.pacs.configuration import Configuration, Peer, Route
from dras_service.store.rows import Order

Expected = Callable[[str, str], int | None]  # of a peer's name and a study's UID


class Routing:
    """The rules of a configuration, ready to be applied."""

    def __init__(self, configuration: Configuration, *, expected: Expected | None = None) -> None:
        self._configuration = configuration
        self._expected = expected
        self._patterns = {
            name: {tag: re.compile(pattern, re.IGNORECASE) for tag, pattern in route.tags.items()}
            for name, route in configuration.routes.items()
        }

    def knows(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether any peer calls from this address."""
        return any(_calls_from(peer, address) for peer in self._configuration.peers.values())

    def callers(self, ae_title: str, address: str) -> frozenset[str]:
        """Return the names of the peers that call themselves so and call from there."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return frozenset()
        found = getattr(found, "ipv4_mapped", None) or found  # where we listen on "::"
        return frozenset(
            name
            for name, peer in self._configuration.peers.items()
            if peer.ae_title == ae_title and _calls_from(peer, found)
        )

    def route(self, callers: frozenset[str], called: str, header: Header) -> tuple[str, Route] | None:
        """Return the first route that fits, with its name; None where none does."""
        for name, route in self._configuration.routes.items():
            if route.callers and not callers & set(route.callers):
                continue
            if route.called and called not in route.called:
                continue
            if all(pattern.search(header.text(tag)) for tag, pattern in self._patterns[name].items()):
                return name, route
        return None

    def origin(self, name: str, route: Route, header: Header) -> Origin:
        """Return where a study came from."""
        return Origin(study_uid=header[STUDY], route=name, tenant=route.tenant)

    def handling(self, origin: Origin) -> Handling:
        """Return what is to become of a study; one whose route is gone is computed and stays here."""
        route = self._configuration.routes.get(origin.route) or Route()
        expected = None
        if route.expect_from is not None and self._expected is not None:
            peer, ask = route.expect_from, self._expected
            expected = lambda study_uid: ask(peer, study_uid)  # noqa: E731
        return Handling(
            quiet_s=route.quiet_s,
            broken_quiet_s=route.broken_quiet_s,
            most_wait_s=route.most_wait_s,
            order=_order(route),
            expected=expected,
        )


def _order(route: Route) -> Order:
    wishes = route.wishes.model_dump()
    if route.send_to:
        wishes["dicom"] = True
    return Order(
        bundle=route.bundle,
        options=JobOptions(**wishes).written(),
        priority=route.priority,
        send_to=route.send_to,
    )


def _calls_from(peer: Peer, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in peer.networks)
