import time

import pytest

from dras_service.security.jwks import KeySet
from dras_service.security.oidc import TokenInvalid, TokenReader
from dras_service.settings import OidcSettings
from unit.dras_service.security.issuer import AUDIENCE, ISSUER, Issuer, b64, claims

SALT = b"0" * 32


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def reader(issuer, tmp_path):
    def make(**changes) -> TokenReader:
        path = tmp_path / "keys.json"
        path.write_text(changes.pop("key_set", None) or issuer.key_set())
        settings = OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks=str(path), **changes)
        return TokenReader(settings, keys=KeySet(str(path), cache_s=60.0), salt=SALT)

    return make


def refusal(reader: TokenReader, token: str) -> str:
    with pytest.raises(TokenInvalid) as raised:
        reader.read(token)
    return raised.value.reason


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_token_of_a_pinned_algorithm_speaks_for_its_tenant_and_scopes(issuer, reader, alg):
    principal = reader(algorithms=(alg,)).read(issuer.sign(claims(time.time()), alg=alg))
    assert principal.tenant == "ward"
    assert principal.scopes == {"submit", "read"}


def test_the_subject_is_never_written_down_and_yet_always_the_same(issuer, reader):
    first, second = (reader().read(issuer.sign(claims(time.time() + n))) for n in range(2))
    other = reader().read(issuer.sign(claims(time.time(), sub="Roe^Richard")))
    assert first.actor == second.actor != other.actor
    assert "Doe" not in first.actor


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS512", ""])
def test_an_algorithm_that_is_not_pinned_is_refused_whatever_the_signature(issuer, reader, alg):
    assert refusal(reader(), issuer.sign(claims(time.time()), alg=alg)) == "ALGORITHM"


def test_a_key_is_not_used_for_an_algorithm_other_than_its_own(issuer, reader):
    of_its_own = reader(algorithms=("RS256", "PS256"), key_set=issuer.key_set(alg="RS256"))
    assert refusal(of_its_own, issuer.sign(claims(time.time()), alg="PS256")) == "KEY_UNKNOWN"
    assert refusal(reader(), issuer.sign(claims(time.time()), alg="RS256", kid="e")) == "INVALID"


@pytest.mark.parametrize("kid", ["s", "other"])
def test_a_shared_secret_or_an_unknown_key_in_the_set_verifies_nothing(issuer, reader, kid):
    assert refusal(reader(), issuer.sign(claims(time.time()), kid=kid)) == "KEY_UNKNOWN"


def test_keys_that_the_token_brings_itself_are_not_looked_at(issuer, reader):
    thief = Issuer()
    brought = {"jwk": {"kty": "RSA"}, "jku": "https://thief.example/keys", "x5u": "https://thief.example"}
    assert refusal(reader(), thief.sign(claims(time.time()), **brought)) == "INVALID"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "EXPIRED"),
        ({"exp": None}, "INVALID"),
        ({"iat": None}, "INVALID"),
        ({"sub": None}, "INVALID"),
        ({"iss": "https://issuer.example.evil"}, "INVALID"),
        ({"iss": None}, "INVALID"),
        ({"aud": "another"}, "INVALID"),
        ({"aud": None}, "INVALID"),
        ({"nbf": 9_999_999_999}, "INVALID"),
        ({"iat": 9_999_999_999}, "INVALID"),
        ({"tenant": None}, "TENANT"),
        ({"tenant": "../other"}, "TENANT"),
        ({"tenant": ["ward"]}, "TENANT"),
        ({"scope": 7}, "SCOPES"),
    ],
)
def test_a_claim_that_is_missing_or_wrong_ends_the_token(issuer, reader, changes, reason):
    assert refusal(reader(), issuer.sign(claims(time.time(), **changes))) == reason


def test_clocks_may_differ_as_far_as_the_settings_say(issuer, reader):
    late = issuer.sign(claims(time.time() - 80))  # expired 20 s ago
    assert reader(leeway_s=30).read(late).tenant == "ward"
    assert refusal(reader(leeway_s=5), late) == "EXPIRED"


def test_a_changed_or_broken_token_is_refused(issuer, reader):
    head, body, signature = issuer.sign(claims(time.time())).split(".")
    forged = b64(b'{"iss":"https://issuer.example","aud":"dras"}')
    broken = [f"{head}.{forged}.{signature}", f"{head}.{body}.", f"{head}.{body}", "", "..", "a.b.c", "é.é.é"]
    assert {refusal(reader(), token) for token in broken} <= {"INVALID", "ALGORITHM"}
    assert refusal(reader(), "a" * 20_000) == "TOO_LONG"


def test_an_unknown_critical_header_is_refused(issuer, reader):
    assert refusal(reader(), issuer.sign(claims(time.time()), crit=["x"], x=1)) == "INVALID"


def test_claims_are_mapped_by_the_settings_and_what_is_not_mapped_gives_nothing(issuer, reader):
    mapping = {
        "tenant_claim": "org",
        "tenants": {"Radiology East": "east"},
        "scope_claim": "roles",
        "scopes": {"reader": ("read",), "operator": ("read", "purge")},
    }
    mapped = reader(**mapping)
    token = issuer.sign(claims(time.time(), org="Radiology East", roles=["operator", "admin", 3]))
    assert mapped.read(token).tenant == "east"
    assert mapped.read(token).scopes == {"read", "purge"}
    assert refusal(mapped, issuer.sign(claims(time.time(), org="east", roles=[]))) == "TENANT"


def test_a_fixed_tenant_wins_over_the_claim(issuer, reader):
    assert reader(tenant="only").read(issuer.sign(claims(time.time()))).tenant == "only"


@pytest.mark.parametrize(
    "setting", [{"algorithms": ("HS256",)}, {"algorithms": ()}, {"algorithms": ("none",)}]
)
def test_no_setting_allows_a_shared_secret_or_no_signature(setting):
    with pytest.raises(ValueError, match="algorithms"):
        OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks="keys.json", **setting)


def test_keys_are_not_fetched_in_the_clear():
    with pytest.raises(ValueError, match="https"):
        OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks="http://issuer.example/keys")
