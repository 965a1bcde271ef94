"""Who vouches for a bundle: an Ed25519 signature over its manifest, in the format of minisign.

The manifest lists the SHA-256 of every file, so one signature covers the bundle. The format is minisign's
(https://jedisct1.github.io/minisign/, "Signature format"), prehashed with BLAKE2b-512, so that anyone can check
a bundle with `minisign -Vm manifest.json -p KEY.pub` and without us. Which keys are trusted, and whether a
signature is asked for, is the library's to say.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dras_model.results.study import Record

_KEY, _PREHASHED = b"Ed", b"ED"
_ID_SIZE, _KEY_SIZE, _SIGNATURE_SIZE = 8, 32, 64
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
_LONGEST_FILE = 4096  # bytes; minisign's own comments end at 8192, ours never get near


class SignatureInvalid(ValueError):
    """A key or a signature cannot be read, or does not sign what it is beside; the text is one clause."""


class SignatureState(Record):
    """What is known of who signed a bundle."""

    kind: Literal["unsigned", "unknown", "trusted"] = "unsigned"
    key_id: str | None = None
    signer: str | None = None

    @property
    def summary(self) -> str:
        """The state in a few words."""
        if self.kind == "trusted":
            return f"signed by {self.signer} (key {self.key_id})"
        if self.kind == "unknown":
            return f"signed with key {self.key_id}, which is not trusted here"
        return "unsigned"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with, and the name it is trusted under."""

    name: str
    id: bytes
    raw: bytes

    @classmethod
    def parse(cls, text: bytes, *, name: str) -> "PublicKey":
        """Read minisign's two-line file; SignatureInvalid where it is none."""
        comment, packed = _lines(text, 2, what="public key")
        content = _decoded(packed)
        if not comment.startswith(_UNTRUSTED) or len(content) != 2 + _ID_SIZE + _KEY_SIZE:
            raise SignatureInvalid("it is no minisign public key")
        if content[:2] != _KEY:
            raise SignatureInvalid("it is a public key of another algorithm than Ed25519")
        return cls(name, content[2 : 2 + _ID_SIZE], content[2 + _ID_SIZE :])

    @classmethod
    def of(cls, secret: Ed25519PrivateKey, *, name: str) -> "PublicKey":
        """Return the public half of a key; its id is a hash of it, so that the same key has the same id."""
        raw = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(name, hashlib.blake2b(raw, digest_size=_ID_SIZE).digest(), raw)

    def to_bytes(self) -> bytes:
        """Return the file that `parse` and minisign read."""
        packed = base64.b64encode(_KEY + self.id + self.raw).decode()
        return f"{_UNTRUSTED}minisign public key {self.key_id}\n{packed}\n".encode()

    @property
    def key_id(self) -> str:
        """The id as minisign prints it."""
        return self.id[::-1].hex().upper()


def new_key() -> Ed25519PrivateKey:
    """Draw a secret key."""
    return Ed25519PrivateKey.generate()


def store_key(secret: Ed25519PrivateKey, *, passphrase: str | None = None) -> bytes:
    """Return a secret key as PKCS#8 PEM, encrypted where there is a passphrase."""
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def read_key(content: bytes, *, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Read a secret key in PKCS#8 PEM. Raises SignatureInvalid."""
    try:
        secret = load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except TypeError as fault:  # a passphrase is missing, or given for a key that has none
        needed = "has no passphrase" if passphrase else "needs a passphrase"
        raise SignatureInvalid(f"the secret key {needed}") from fault
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise SignatureInvalid("it is no secret key in PEM format, or the passphrase is wrong") from fault
    if not isinstance(secret, Ed25519PrivateKey):
        raise SignatureInvalid("it is a secret key of another algorithm than Ed25519")
    return secret


def sign(content: bytes, secret: Ed25519PrivateKey, *, comment: str) -> bytes:
    """Return the signature file over `content`; the same key, content and comment give the same bytes."""
    key = PublicKey.of(secret, name="")
    said = " ".join(comment.split())
    signature = secret.sign(hashlib.blake2b(content).digest())
    sealed = secret.sign(signature + said.encode())
    packed = (base64.b64encode(part).decode() for part in (_PREHASHED + key.id + signature, sealed))
    head, tail = packed
    return f"{_UNTRUSTED}signature of a dras model bundle\n{head}\n{_TRUSTED}{said}\n{tail}\n".encode()


def check(content: bytes, signature: bytes, *, trusted: tuple[PublicKey, ...]) -> SignatureState:
    """Check a signature file over `content` with the one of `trusted` that it names.

    A key that is not trusted cannot be checked with, and is told. SignatureInvalid where the file is none, or
    where a trusted key did not sign `content`.
    """
    untrusted, head, said, tail = _lines(signature, 4, what="signature")
    packed, sealed = _decoded(head), _decoded(tail)
    well_formed = untrusted.startswith(_UNTRUSTED) and said.startswith(_TRUSTED)
    if not well_formed or (len(packed), len(sealed)) != (2 + _ID_SIZE + _SIGNATURE_SIZE, _SIGNATURE_SIZE):
        raise SignatureInvalid("it is no minisign signature")
    if packed[:2] != _PREHASHED:
        raise SignatureInvalid("it is a signature of another algorithm than prehashed Ed25519")
    key_id, made = packed[2 : 2 + _ID_SIZE], packed[2 + _ID_SIZE :]
    key = next((key for key in trusted if key.id == key_id), None)
    if key is None:
        return SignatureState(kind="unknown", key_id=key_id[::-1].hex().upper())
    public = Ed25519PublicKey.from_public_bytes(key.raw)
    try:
        public.verify(made, hashlib.blake2b(content).digest())
        public.verify(sealed, made + said.removeprefix(_TRUSTED).encode())
    except InvalidSignature as fault:
        raise SignatureInvalid(f"it is not what {key.name} (key {key.key_id}) signed") from fault
    return SignatureState(kind="trusted", key_id=key.key_id, signer=key.name)


def _lines(text: bytes, n: int, *, what: str) -> list[str]:
    try:
        *lines, end = text.decode("ascii" if what == "public key" else "utf-8").split("\n")
    except UnicodeDecodeError as fault:
        raise SignatureInvalid(f"it is no minisign {what}") from fault
    if len(lines) != n or end or len(text) > _LONGEST_FILE:
        raise SignatureInvalid(f"it is no minisign {what}")
    return lines


def _decoded(packed: str) -> bytes:
    """Decode base64 written in the one right way: a form with stray bits would let a byte change unseen."""
    try:
        content = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise SignatureInvalid("its base64 is damaged") from fault
    if base64.b64encode(content).decode() != packed:
        raise SignatureInvalid("its base64 is damaged")
    return content
