import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dras_model.encoder import signature
from dras_model.encoder.bundle import MANIFEST, SIGNATURE, SUMS, Bundle, Trust, sign_bundle
from dras_model.encoder.signature import PublicKey, SignatureInvalid, SignatureState
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from unit.dras_model.encoder.sealing import reseal

# Made by minisign 0.11 over the one byte `x`, with -t hello.
MINISIGN_KEY = b"""untrusted comment: minisign public key 29A83CFFE1F15EE9
RWTpXvHh/zyoKXnI4rtR8XAaiGmVvgpUSy0YwAqywMTbl8u9X5WFfvwR
"""
MINISIGN_SIGNATURE = b"""untrusted comment: signature from minisign secret key
RUTpXvHh/zyoKa4VgrQE9ELTzAS8E0jE0dT9w5APv7dy9EL24K2kfceAHGXx0XqOMxcMhGSxQwDNhnnjUslrr8vVTqIQnHiwAQo=
trusted comment: hello
buccbRwyNBNzFY3QW3fMO+wckJTH15x7UMDoB97h0DlWNI+y0jEfTElEt7G9GnphEHVsewE/2PaN2vQ8MVKkCQ==
"""
Spoil = Callable[..., Path]


@pytest.fixture(scope="module")
def secret() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def trust(secret: Ed25519PrivateKey) -> Trust:
    return Trust((PublicKey.of(secret, name="lab"),))


@pytest.fixture
def signed(spoil: Spoil, secret: Ed25519PrivateKey) -> Path:
    path = spoil()
    sign_bundle(Bundle.load(path), secret)
    return path


def test_a_signature_of_minisign_is_read() -> None:
    key = PublicKey.parse(MINISIGN_KEY, name="someone")
    assert key.key_id == "29A83CFFE1F15EE9"
    state = signature.check(b"x", MINISIGN_SIGNATURE, trusted=(key,))
    assert state == SignatureState(kind="trusted", key_id="29A83CFFE1F15EE9", signer="someone")
    assert state.summary == "signed by someone (key 29A83CFFE1F15EE9)"


def test_any_changed_byte_that_minisign_signs_is_noticed() -> None:
    key = PublicKey.parse(MINISIGN_KEY, name="someone")
    start = MINISIGN_SIGNATURE.index(b"\n") + 1  # the first line is a comment that nobody signs
    for place in range(start, len(MINISIGN_SIGNATURE)):
        changed = bytearray(MINISIGN_SIGNATURE)
        changed[place] ^= 1
        try:
            assert signature.check(b"x", bytes(changed), trusted=(key,)).kind == "unknown"
        except SignatureInvalid:
            continue
        assert MINISIGN_SIGNATURE.index(b"RUT") + 2 <= place < start + 16  # the name of another key
    with pytest.raises(SignatureInvalid, match="it is not what someone"):
        signature.check(b"y", MINISIGN_SIGNATURE, trusted=(key,))


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_minisign_accepts_what_we_sign(
    signed: Path, secret: Ed25519PrivateKey, tmp_path: Path, bundle: Bundle
) -> None:
    (tmp_path / "lab.pub").write_bytes(PublicKey.of(secret, name="lab").to_bytes())
    done = subprocess.run(
        ["minisign", "-V", "-m", signed / MANIFEST, "-p", tmp_path / "lab.pub"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Trusted comment: small sha256:{Bundle.load(signed).sha256}" in done.stdout


def test_signing_twice_gives_the_same_bytes_and_another_key_others(
    signed: Path, secret: Ed25519PrivateKey
) -> None:
    first = {file.name: file.read_bytes() for file in signed.iterdir()}
    sign_bundle(Bundle.load(signed), secret)
    assert {file.name: file.read_bytes() for file in signed.iterdir()} == first
    sign_bundle(Bundle.load(signed), signature.new_key())
    assert (signed / SIGNATURE).read_bytes() != first[SIGNATURE]
    assert (signed / MANIFEST).read_bytes() == first[MANIFEST]


def test_signing_leaves_nothing_but_the_bundle(signed: Path) -> None:
    assert SIGNATURE in {file.name for file in signed.iterdir()}
    assert [entry.name for entry in signed.parent.iterdir()] == [signed.name]


@pytest.mark.parametrize("way", ["from within", "by a link"])
def test_a_bundle_is_signed_where_it_lies(
    way: str, spoil: Spoil, secret: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spoil()
    monkeypatch.chdir(path)
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(path)
    sign_bundle(Bundle.load(link if way == "by a link" else Path()), secret)
    assert Bundle.load(path).signature.kind == "unknown"
    assert not link.parent.joinpath(SIGNATURE).exists()
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def test_who_signed_is_told_and_reaches_the_result(signed: Path, trust: Trust) -> None:
    key_id = trust.keys[0].key_id
    assert Bundle.load(signed).provenance.signature == f"signed with key {key_id}, which is not trusted here"
    loaded = Bundle.load(signed, trust=trust)
    assert loaded.signature.kind == "trusted"
    assert loaded.provenance.signature == f"signed by lab (key {key_id})"
    assert loaded.provenance.bundle_sha256 == loaded.sha256


def test_an_unsigned_bundle_is_taken_and_told(bundle: Bundle) -> None:
    assert bundle.signature == SignatureState()
    assert bundle.provenance.signature == "unsigned"


@pytest.mark.parametrize("keys", [True, False], ids=["trusting somebody", "trusting nobody"])
def test_where_signatures_are_required_an_unsigned_bundle_is_refused(
    bundle_path: Path, trust: Trust, *, keys: bool
) -> None:
    with pytest.raises(SetupRefused, match="is unsigned, and this installation takes signed") as refusal:
        Bundle.load(bundle_path, trust=Trust(trust.keys if keys else (), required=True))
    assert refusal.value.code is Code.BUNDLE_UNTRUSTED


def test_where_signatures_are_required_one_of_a_stranger_does_not_count(signed: Path, trust: Trust) -> None:
    with pytest.raises(SetupRefused, match=r"signed with key .* which is not trusted here") as refusal:
        Bundle.load(signed, trust=Trust((), required=True))
    assert refusal.value.code is Code.BUNDLE_UNTRUSTED
    assert Bundle.load(signed, trust=Trust(trust.keys, required=True)).signature.kind == "trusted"


def test_what_is_changed_and_sealed_again_is_refused_by_the_signature(signed: Path, trust: Trust) -> None:
    manifest = signed / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"Not for diagnosis", b"Fit for diagnosis"))
    reseal(signed)
    Bundle.load(signed)  # without a trusted key, a hash guards against accidents only
    with pytest.raises(SetupRefused, match=r"minisig does not vouch for manifest\.json: it is not what lab"):
        Bundle.load(signed, trust=trust)


@pytest.mark.parametrize("required", [True, False])
def test_any_flipped_byte_of_a_signed_bundle_is_refused(
    signed: Path, trust: Trust, *, required: bool
) -> None:
    for file in sorted(signed.iterdir()):
        content = file.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 1
            file.write_bytes(changed)
            with pytest.raises(SetupRefused):
                Bundle.load(signed, trust=Trust(trust.keys, required))
        file.write_bytes(content)
    Bundle.load(signed, trust=trust)


def test_every_byte_of_the_signature_file_is_guarded(signed: Path, trust: Trust) -> None:
    content = (signed / SIGNATURE).read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        (signed / SIGNATURE).write_bytes(changed)
        with pytest.raises(SetupRefused):
            Bundle.load(signed, trust=trust)


def test_a_signature_that_minisign_put_there_need_not_be_in_the_sums(spoil: Spoil, signed: Path) -> None:
    lines = (signed / SUMS).read_text().splitlines(keepends=True)
    (signed / SUMS).write_text("".join(line for line in lines if not line.endswith(f"{SIGNATURE}\n")))
    assert Bundle.load(signed).signature.kind == "unknown"


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (b"", "no minisign signature"),
        (b"\xff\n\n\n\n", "no minisign signature"),
        (MINISIGN_SIGNATURE[:-1], "no minisign signature"),
        (MINISIGN_SIGNATURE + b"\n", "no minisign signature"),
        (MINISIGN_SIGNATURE.replace(b"\n", b"\r\n"), "base64 is damaged"),
        (MINISIGN_SIGNATURE.replace(b"untrusted c", b"c"), "no minisign signature"),
        (MINISIGN_SIGNATURE.replace(b"RUT", b"RWT"), "another algorithm than prehashed Ed25519"),
        (MINISIGN_SIGNATURE.replace(b"nHiwAQo=", b"nHiwAQp="), "base64 is damaged"),
        (MINISIGN_SIGNATURE.replace(b"hello", b"x" * 5000), "no minisign signature"),
    ],
)
def test_a_file_that_is_no_signature_is_refused_whoever_is_trusted(
    spoil: Spoil, content: bytes, clause: str
) -> None:
    path = spoil()
    (path / SIGNATURE).write_bytes(content)
    reseal(path)
    with pytest.raises(SetupRefused, match=clause) as refusal:
        Bundle.load(path)
    assert refusal.value.code is Code.BUNDLE_INVALID


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (b"ssh-ed25519 AAAA", "no minisign public key"),
        (MINISIGN_SIGNATURE, "no minisign public key"),
        (MINISIGN_KEY.replace(b"RWT", b"RUT"), "another algorithm than Ed25519"),
        (MINISIGN_KEY[:-4] + b"\n", "base64 is damaged"),
        (b"untrusted comment: \nAAAA\n", "no minisign public key"),
    ],
)
def test_a_file_that_is_no_public_key_is_refused(content: bytes, clause: str) -> None:
    with pytest.raises(SignatureInvalid, match=clause):
        PublicKey.parse(content, name="x")


def test_a_public_key_survives_being_written(secret: Ed25519PrivateKey) -> None:
    key = PublicKey.of(secret, name="lab")
    assert PublicKey.parse(key.to_bytes(), name="lab") == key
    assert PublicKey.parse(MINISIGN_KEY, name="x").to_bytes() == MINISIGN_KEY


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_a_secret_key_survives_being_stored(secret: Ed25519PrivateKey, passphrase: str | None) -> None:
    stored = signature.store_key(secret, passphrase=passphrase)
    kept = signature.read_key(stored, passphrase=passphrase)
    assert kept.private_bytes_raw() == secret.private_bytes_raw()
    wrong, clause = ("another", "passphrase is wrong") if passphrase else ("one", "has no passphrase")
    with pytest.raises(SignatureInvalid, match=clause):
        signature.read_key(stored, passphrase=wrong)
    if passphrase:
        with pytest.raises(SignatureInvalid, match="needs a passphrase"):
            signature.read_key(stored)
