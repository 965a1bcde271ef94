import hashlib
import hmac
import stat
import threading

import pytest

from dras_service.errors import CannotServe
from dras_service.security.salt import open_salt, salted


def test_the_first_to_ask_makes_the_salt_and_everybody_gets_the_same(tmp_path):
    path = tmp_path / "new" / "salt"
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(open_salt(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {path.read_bytes()}
    assert [entry.name for entry in path.parent.iterdir()] == ["salt"]


def test_only_its_owner_reads_the_salt(tmp_path):
    open_salt(tmp_path / "salt")
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600


def test_a_salt_that_is_cut_off_is_refused(tmp_path):
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(CannotServe) as refusal:
        open_salt(tmp_path / "salt")
    assert refusal.value.code == "SALT_UNREADABLE"


def test_a_salted_name_is_the_start_of_an_hmac_and_changes_with_salt_and_parts():
    expected = hmac.new(b"salt", b"a\0b", hashlib.sha256).hexdigest()[:16]
    assert salted(b"salt", "a", "b") == expected
    assert len({expected, salted(b"other", "a", "b"), salted(b"salt", "ab"), salted(b"salt", "b", "a")}) == 4
