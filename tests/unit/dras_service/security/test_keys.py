import hashlib
import re

import pytest

from dras_service.security.keys import PresentedKey, is_same, looks_like_key, new_key, read_key


def test_a_key_carries_256_random_bits_and_only_their_hash_is_kept():
    key = new_key()
    prefix, key_id, secret = key.token.split("_", 2)
    assert (prefix, key_id) == ("dras", key.id)
    assert len(secret) * 6 >= 256  # base64url: six bits a letter
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in (key.id, key.secret_sha256)


def test_no_two_keys_share_id_or_secret():
    keys = [new_key() for _ in range(1000)]
    assert len({key.id for key in keys}) == len({key.secret_sha256 for key in keys}) == 1000


def test_a_key_that_was_made_is_read_back_as_the_same():
    key = new_key()
    presented = read_key(key.token)
    assert presented == PresentedKey(key.id, key.secret_sha256)
    assert is_same(presented, key.secret_sha256)


@pytest.mark.parametrize(
    "change", [str.upper, lambda token: token[:-1], lambda token: token + "A", lambda _: ""]
)
def test_what_is_no_key_is_not_read(change):
    assert read_key(change(new_key().token)) is None


def test_another_secret_and_no_key_at_all_are_not_the_same():
    presented = read_key(new_key().token)
    assert not is_same(presented, new_key().secret_sha256)
    assert not is_same(presented, None)
    assert not is_same(PresentedKey("0" * 16, hashlib.sha256(b"").hexdigest()), None)


def test_a_key_is_told_from_a_token_and_can_be_found_by_a_secret_scanner():
    assert looks_like_key(new_key().token)
    assert not looks_like_key("eyJhbGciOiJSUzI1NiJ9.e30.x")
    assert re.fullmatch(r"dras_[0-9a-f]{16}_[\w-]{43}", new_key().token)
