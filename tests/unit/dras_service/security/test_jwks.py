import json

import httpx2
import pytest

from dras_service.security.jwks import KeySet, KeysUnavailable
from unit.dras_service.examples import Clock

URL = "https://issuer.example/keys"


class Server:
    """Answers with a key set that a test changes, and counts."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids = key_ids
        self.fault: Exception | httpx2.Response | None = None
        self.asked = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault or httpx2.Response(
            200, json={"keys": [{"kty": "RSA", "kid": kid} for kid in self.key_ids]}
        )


def key_set(server: Server, clock: Clock) -> KeySet:
    return KeySet(URL, cache_s=300.0, clock=clock, transport=httpx2.MockTransport(server))


def test_keys_are_fetched_once_for_as_long_as_the_settings_say():
    server, clock = Server("a"), Clock()
    keys = key_set(server, clock)
    assert [keys.find("a")["kid"] for _ in range(5)] == ["a"] * 5
    assert server.asked == 1
    clock.now += 301
    keys.find("a")
    assert server.asked == 2


def test_a_new_key_of_the_issuer_is_found_and_made_up_ones_cause_one_question_a_minute():
    server, clock = Server("a"), Clock()
    keys = key_set(server, clock)
    keys.find("a")
    server.key_ids = ("a", "b")
    clock.now += 61
    assert keys.find("b")["kid"] == "b"
    assert [keys.find(f"made up {n}") for n in range(100)] == [None] * 100
    assert server.asked == 2


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.ConnectError("away"),
        httpx2.Response(500),
        httpx2.Response(302, headers={"Location": "https://thief.example/keys"}),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, content=b" " * (1 << 20) + b"{}"),
    ],
    ids=["away", "failing", "moved", "no JSON", "no set", "huge"],
)
def test_while_the_issuer_is_at_fault_known_keys_are_used_for_a_day_and_no_longer(fault):
    server, clock = Server("a"), Clock()
    keys = key_set(server, clock)
    keys.find("a")
    server.fault = fault
    clock.now += 80_000
    assert keys.find("a")["kid"] == "a"
    clock.now += 10_000
    with pytest.raises(KeysUnavailable):
        keys.find("a")


def test_without_any_key_known_the_fault_is_said():
    server = Server()
    server.fault = httpx2.ConnectError("away")
    with pytest.raises(KeysUnavailable):
        key_set(server, Clock()).find("a")


def test_a_token_without_a_key_id_gets_the_only_key_there_is():
    assert key_set(Server("a"), Clock()).find(None)["kid"] == "a"
    assert key_set(Server("a", "b"), Clock()).find(None) is None


def test_shared_secrets_and_keys_for_encryption_are_not_taken_from_a_file(tmp_path):
    path = tmp_path / "keys.json"
    listed = [
        {"kty": "oct", "kid": "s"},
        {"kty": "RSA", "kid": "e", "use": "enc"},
        "text",
        {"kty": "EC", "kid": "g"},
    ]
    path.write_text(json.dumps({"keys": listed}))
    keys = KeySet(str(path), cache_s=300.0)
    assert [keys.find(kid) for kid in ("s", "e")] == [None, None]
    assert keys.find("g") == {"kty": "EC", "kid": "g"}
