import json
import shutil
import stat

import pytest

from dras_cli.main import main
from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.weights import initialise
from dras_model.library import open_atlas


@pytest.fixture(scope="module")
def made(library_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAS_LIBRARY", str(library_folder))
        atlas = open_atlas()
    path = tmp_path_factory.mktemp("made") / "tiny"
    weights = initialise(EncoderConfig(num_experts=1), seed=3)
    create_bundle(path, weights, atlas, name="tiny", training=Untrained(seed=3), licence="MIT")
    return path


@pytest.fixture
def place(made, library_folder, tmp_path, monkeypatch):
    """A library of its own with one bundle, and a key beside it."""
    shutil.copytree(library_folder / "atlases", tmp_path / "library" / "atlases")
    shutil.copytree(made, tmp_path / "library" / "bundles" / "tiny")
    monkeypatch.setenv("DRAS_LIBRARY", str(tmp_path / "library"))
    monkeypatch.delenv("DRAS_REQUIRE_SIGNATURE", raising=False)
    monkeypatch.delenv("DRAS_KEY_PASSPHRASE", raising=False)
    return tmp_path


def answer(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 4
    error = json.loads(capsys.readouterr().err)["error"]
    return error["code"], error["message"]


def test_a_key_is_made_a_bundle_signed_and_its_signer_trusted(place, capsys):
    made = answer(capsys, "model", "keygen", "-o", place / "lab")
    assert stat.S_IMODE((place / "lab").stat().st_mode) == 0o600
    signed = answer(capsys, "model", "sign", "tiny", "--key", place / "lab")
    assert signed["key_id"] == made["key_id"]
    assert answer(capsys, "model", "show", "tiny")["signature"]["kind"] == "unknown"
    trusted = answer(capsys, "model", "trust", place / "lab.pub", "--name", "our.lab")
    assert trusted["keys"] == [{"name": "our.lab", "key_id": made["key_id"]}]
    assert answer(capsys, "model", "show", "tiny")["signature"] == {
        "kind": "trusted",
        "key_id": made["key_id"],
        "signer": "our.lab",
    }
    assert answer(capsys, "model", "trust", "--remove", "our.lab")["keys"] == []
    assert refused(capsys, "model", "trust", "--remove", "our.lab")[0] == "KEY_INVALID"


@pytest.mark.parametrize("setting", ["1", "true", "yes", "TRUE", "certainly", "-"])
def test_anything_but_a_no_asks_for_signatures(place, capsys, monkeypatch, setting):
    monkeypatch.setenv("DRAS_REQUIRE_SIGNATURE", setting)
    assert refused(capsys, "model", "show", "tiny")[0] == "BUNDLE_UNTRUSTED"


@pytest.mark.parametrize("setting", ["", "0", "no", "False", " off "])
def test_a_no_takes_unsigned_bundles(place, capsys, monkeypatch, setting):
    monkeypatch.setenv("DRAS_REQUIRE_SIGNATURE", setting)
    assert answer(capsys, "model", "show", "tiny")["signature"]["kind"] == "unsigned"


def test_where_signatures_are_required_a_bundle_can_be_signed_and_is_then_taken(place, capsys, monkeypatch):
    monkeypatch.setenv("DRAS_REQUIRE_SIGNATURE", "1")
    answer(capsys, "model", "keygen", "-o", place / "lab")
    answer(capsys, "model", "sign", "tiny", "--key", place / "lab")
    code, message = refused(capsys, "model", "verify", "tiny")
    assert code == "BUNDLE_UNTRUSTED"
    assert "not trusted here" in message
    answer(capsys, "model", "trust", place / "lab.pub")
    assert answer(capsys, "model", "show", "tiny")["signature"]["kind"] == "trusted"
    assert answer(capsys, "model", "trust")["required"] is True


def test_an_encrypted_key_signs_with_its_passphrase_only(place, capsys, monkeypatch):
    monkeypatch.setenv("DRAS_KEY_PASSPHRASE", "open sesame")
    answer(capsys, "model", "keygen", "-o", place / "lab")
    assert b"ENCRYPTED" in (place / "lab").read_bytes()
    answer(capsys, "model", "sign", "tiny", "--key", place / "lab")
    monkeypatch.delenv("DRAS_KEY_PASSPHRASE")
    code, message = refused(capsys, "model", "sign", "tiny", "--key", place / "lab")
    assert code == "KEY_INVALID"
    assert "needs a passphrase" in message


def test_a_key_that_is_there_is_never_overwritten(place, capsys):
    answer(capsys, "model", "keygen", "-o", place / "lab")
    before = (place / "lab").read_bytes()
    assert refused(capsys, "model", "keygen", "-o", place / "lab")[0] == "OUTPUT_NOT_WRITABLE"
    assert (place / "lab").read_bytes() == before


def test_a_public_key_in_the_way_leaves_no_secret_key_without_its_other_half(place, capsys):
    (place / "lab.pub").write_text("another's")
    assert refused(capsys, "model", "keygen", "-o", place / "lab")[0] == "OUTPUT_NOT_WRITABLE"
    assert not (place / "lab").exists()
    assert (place / "lab.pub").read_text() == "another's"


def test_a_name_that_is_trusted_is_not_given_to_another_key(place, capsys):
    for name in ("one", "two"):
        answer(capsys, "model", "keygen", "-o", place / name)
    answer(capsys, "model", "trust", place / "one.pub", "--name", "lab")
    assert len(answer(capsys, "model", "trust", place / "one.pub", "--name", "lab")["keys"]) == 1
    code, message = refused(capsys, "model", "trust", place / "two.pub", "--name", "lab")
    assert code == "KEY_INVALID"
    assert "another key is trusted under this name" in message


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_a_file_that_is_no_key_is_named(place, capsys, content):
    if content is not None:
        (place / "key").write_bytes(content)
    for command in (["trust", place / "key"], ["sign", "tiny", "--key", place / "key"]):
        code, message = refused(capsys, "model", *command)
        assert code == "KEY_INVALID"
        assert "key" in message


def test_a_trusted_key_that_was_damaged_stops_everything_that_rests_on_it(place, capsys):
    answer(capsys, "model", "keygen", "-o", place / "lab")
    answer(capsys, "model", "trust", place / "lab.pub")
    (place / "library" / "keys" / "lab.pub").write_bytes(b"")
    assert refused(capsys, "model", "show", "tiny")[0] == "KEY_INVALID"


@pytest.mark.parametrize("name", ["../out", "a b", "", ".hidden"])
def test_a_name_that_is_none_is_a_wrong_call(place, name):
    assert main(["model", "keygen", "-o", str(place / "lab")]) == 0
    status = main(["model", "trust", str(place / "lab.pub"), "--name", name])
    assert status == (0 if name == "" else 2)  # an empty one is not given: the file's name is taken
    assert not (place / "library" / "out.pub").exists()
