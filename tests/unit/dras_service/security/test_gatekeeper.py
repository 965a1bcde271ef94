import pytest

from dras_service.security.gatekeeper import Doorkeeper, Failure, NotRecognised, OpenDoor, TooManyFailures
from dras_service.security.jwks import KeysUnavailable
from dras_service.security.keys import new_key
from dras_service.security.oidc import TokenInvalid
from dras_service.security.principal import ALL_SCOPES, Principal, ScopeMissing
from dras_service.security.throttle import FailureThrottle
from dras_service.store.errors import StorageFull
from unit.dras_service.examples import Clock

ADDRESS = "192.0.2.1"


class Tokens:
    def __init__(self, answer):
        self.answer = answer

    def read(self, _token):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Door:
    """A doorkeeper over a real store, and what it recorded."""

    def __init__(self, store, tokens=None):
        self.store, self.clock = store, Clock()
        self.failures: list[Failure] = []
        throttle = FailureThrottle(most=3, window_s=30.0, clock=self.clock)
        self.keeper = Doorkeeper(
            keys=store.keys,
            tenants=store.tenants,
            tokens=tokens,
            throttle=throttle,
            record_failure=self.failures.append,
            clock=self.clock,
        )

    def key(self, **changes) -> str:
        key = new_key()
        row = {"tenant": "default", "label": "", "scopes": ("read",)} | changes
        self.store.keys.add(key.id, key.secret_sha256, **row)
        return key.token

    def enter(self, token):
        return self.keeper.recognise(token, address=ADDRESS)

    def refuse(self, token) -> str:
        with pytest.raises(NotRecognised):
            self.enter(token)
        return self.failures[-1].reason if self.failures else ""


@pytest.fixture
def door(store):
    return Door(store)


def test_a_key_of_the_database_speaks_for_its_tenant_and_scopes(door):
    token = door.key(scopes=("read", "cancel"))
    assert door.enter(token) == Principal(
        "default", f"key:{token.split('_')[1]}", frozenset({"read", "cancel"})
    )
    assert door.failures == []


def test_the_same_id_with_another_secret_is_nobody(door):
    token = door.key()
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert door.refuse(forged) == "UNKNOWN"
    assert door.failures[-1].actor == "unknown", "who guesses must not be written down as the key's owner"


@pytest.mark.parametrize("token", ["dras_", "dras_x_y", "Basic abc", "eyJhbGciOiJub25lIn0.e30.", " "])
def test_what_is_no_key_is_refused_where_there_is_no_issuer(door, token):
    assert door.refuse(token) == "MALFORMED"


def test_an_expired_key_is_refused_to_the_second_and_a_revoked_one_at_once(door):
    token = door.key(expires_at=door.clock.now + 10)
    door.enter(token)
    door.clock.now += 10
    assert door.refuse(token) == "EXPIRED"
    other = door.key()
    door.enter(other)
    assert door.store.keys.revoke(other.split("_")[1], tenant="default")
    assert door.refuse(other) == "REVOKED"
    assert door.failures[-1] == Failure(f"key:{other.split('_')[1]}", "default", ADDRESS, "REVOKED")


def test_nothing_sent_is_refused_without_being_a_failure(door):
    for token in (None, ""):
        with pytest.raises(NotRecognised) as refusal:
            door.enter(token)
        assert not refusal.value.given
    assert door.failures == []


def test_failures_of_an_address_are_bounded_and_a_valid_key_still_enters(door):
    good = door.key()
    for _ in range(3):
        door.refuse("dras_wrong")
    with pytest.raises(TooManyFailures) as refusal:
        door.enter("dras_wrong")
    assert refusal.value.wait_s == 10.0
    assert len(door.failures) == 3, "what comes after the bound is not written down"
    assert door.enter(good).tenant == "default"


def test_the_time_of_use_is_written_once_a_minute(door, clock):
    token = door.key()
    used = []
    for pause in (0, 30, 31):
        clock.now += pause
        door.clock.now += pause
        door.enter(token)
        used.append(door.store.keys.find(token.split("_")[1]).last_used_at)
    assert used == [clock.now - 61, clock.now - 61, clock.now]


def test_a_full_disk_keeps_nobody_out(door, monkeypatch):
    def full(*_args, **_fields):
        raise StorageFull("full")

    token = door.key()
    monkeypatch.setattr(door.store.keys, "used", full)
    assert door.enter(token).tenant == "default"


@pytest.mark.parametrize(
    ("fault", "reason"), [(TokenInvalid("EXPIRED"), "TOKEN_EXPIRED"), (KeysUnavailable("x"), "ISSUER_AWAY")]
)
def test_a_token_that_is_not_taken_is_recorded_with_its_reason(store, fault, reason):
    assert Door(store, Tokens(fault)).refuse("a.b.c") == reason


def test_a_token_is_taken_where_there_is_an_issuer(store):
    someone = Principal("default", "oidc:1", frozenset({"read"}))
    assert Door(store, Tokens(someone)).enter("a.b.c") == someone


def test_a_token_of_a_tenant_that_there_is_not_makes_none(store):
    stranger = Principal("warrd", "oidc:1", frozenset({"submit"}))
    assert Door(store, Tokens(stranger)).refuse("a.b.c") == "TENANT_UNKNOWN"
    assert store.tenants.find("warrd") is None


def test_an_open_door_lets_everybody_do_everything():
    assert OpenDoor().recognise(None, address="").scopes == ALL_SCOPES


def test_a_scope_that_is_missing_is_named():
    with pytest.raises(ScopeMissing) as refusal:
        Principal("t", "a", frozenset({"read"})).require("purge")
    assert refusal.value.scope == "purge"
