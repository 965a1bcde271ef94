"""`pacs.toml`: what is taken, and that each fault is told by its place."""

import ipaddress
from pathlib import Path

import pytest

from dras_cli.main import main
from dras_service.errors import CannotServe
from dras_service.gathering.room import Origin
from dras_service.header import STUDY, TAGS, Header
from dras_service.pacs.configuration import Configuration, read_configuration
from dras_service.pacs.receive.routing import Routing

GOOD = """
[node]
ae_title = "DRAS"
[peers.pacs]
ae_title = "PACS"
addresses = ["10.0.0.0/8", "::1"]
host = "pacs.example"
port = 104
[peers.scanner]
ae_title = "CT 1"
addresses = ["10.1.2.3"]
[routes.trial]
callers = ["scanner"]
tags = { StudyDescription = "^trial" }
tenant = "trial"
deidentify = true
[routes.chest]
tags = { Modality = "^CT$", BodyPartExamined = "chest|thorax" }
send_to = ["pacs"]
priority = 2
wishes = { phase = "inspiration" }
"""


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str) -> Configuration:
        path = tmp_path / "pacs.toml"
        path.write_text(text)
        return read_configuration(path)

    return read


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('ae_title = "DRAS"', 'ae_title = "MUCH TOO LONG A TITLE"', "node.ae_title"),
        ("10.1.2.3", "10.1.2.300", "peers.scanner.addresses.0"),
        ("port = 104", "", "peers.pacs: host and port belong together"),
        ("^trial", "(", "routes.trial.tags.StudyDescription: it is no regular expression"),
        ("StudyDescription", "PatientName", "routes.trial.tags.PatientName"),
        ('send_to = ["pacs"]', 'send_to = ["nowhere"]', "route chest names the unknown peer nowhere"),
        ('send_to = ["pacs"]', 'send_to = ["scanner"]', "sends to scanner, whose address is not known"),
        (
            "deidentify = true",
            'deidentify = true\nsend_to = ["pacs"]',
            "cannot go back to the patient's study",
        ),
        (
            "deidentify = true",
            'deidentify = true\nexpect_from = "pacs"',
            "has lost its UID cannot be asked for",
        ),
        ("priority = 2", "priority = 200", "routes.chest.priority"),
        ("priority = 2", "surprise = 2", "routes.chest.surprise"),
        ("port = 104", 'port = 104\ndicomweb = "http://pacs.example/web"', "dicomweb is not https"),
        ("[node]", "[node", "it is no TOML"),
    ],
)
def test_a_fault_is_told_by_its_place(old: str, new: str, told: str, read) -> None:
    assert old in GOOD
    with pytest.raises(CannotServe) as refused:
        read(GOOD.replace(old, new, 1))
    assert refused.value.code == "PACS_CONFIG_INVALID"
    assert told in str(refused.value)


def test_check_says_what_was_understood_and_starts_nothing(tmp_path: Path, capsys) -> None:
    path = tmp_path / "pacs.toml"
    path.write_text(GOOD)
    assert main(["pacs", "listen", "--config", str(path), "--check"]) == 0
    said = capsys.readouterr().out
    assert "DRAS at 127.0.0.1:11112" in said
    assert "route chest: tenant default, complete after 20 s, results to pacs" in said
    path.write_text(GOOD.replace("104", "104000"))
    assert main(["pacs", "listen", "--config", str(path), "--check"]) == 4
    assert "PACS_CONFIG_INVALID" in capsys.readouterr().err


def header(**texts: str) -> Header:
    return Header("", {STUDY: "1.2", **{TAGS[keyword]: text for keyword, text in texts.items()}})


@pytest.mark.parametrize(
    ("caller", "address", "texts", "route"),
    [
        ("CT 1", "10.1.2.3", {"StudyDescription": "Trial 7", "Modality": "CT"}, "trial"),
        ("PACS", "10.9.9.9", {"StudyDescription": "Trial 7", "Modality": "CT"}, None),
        ("PACS", "::1", {"Modality": "CT", "BodyPartExamined": "CHEST"}, "chest"),
        ("PACS", "10.0.0.1", {"Modality": "CTA", "BodyPartExamined": "CHEST"}, None),
    ],
)
def test_the_first_route_that_fits_is_taken(caller: str, address: str, texts: dict, route, read) -> None:
    routing = Routing(read(GOOD))
    callers = routing.callers(caller, address)
    assert callers
    found = routing.route(callers, "DRAS", header(**texts))
    assert (found[0] if found else None) == route


def test_a_caller_is_known_by_title_and_address_together(read) -> None:
    routing = Routing(read(GOOD))
    assert routing.knows(ipaddress.ip_address("10.200.0.1"))
    assert not routing.knows(ipaddress.ip_address("192.168.0.1"))
    assert routing.callers("CT 1", "10.1.2.4") == frozenset()
    assert routing.callers("PACS", "192.168.0.1") == frozenset()
    assert routing.callers("PACS", "no address") == frozenset()
    assert routing.callers("CT 1", "::ffff:10.1.2.3") == frozenset(
        {"scanner"}
    )  # by a socket for both families


def test_objects_are_made_where_results_go_back(read) -> None:
    routing = Routing(read(GOOD))
    order = routing.handling(Origin(study_uid="1.2", route="chest", tenant="default")).order
    assert order.options == {"dicom": True, "phase": "inspiration"}
    assert (order.send_to, order.priority) == (("pacs",), 2)
    gone = routing.handling(Origin(study_uid="1.2", route="gone", tenant="default"))
    assert gone.order.send_to == ()
