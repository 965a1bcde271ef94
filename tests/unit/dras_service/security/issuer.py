"""An issuer of tokens with keys of its own; what it signs is written by hand, not by the library that reads it."""

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER, AUDIENCE = "https://issuer.example", "dras"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def key_set(self, **changes: Any) -> str:
        public = self.rsa.public_key().public_numbers()
        point = self.ec.public_key().public_numbers()
        raw = self.ed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        keys = [
            {"kty": "RSA", "kid": "r", "n": number(public.n), "e": number(public.e), **changes},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(point.x), "y": number(point.y)},
            {"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(raw)},
            {"kty": "oct", "kid": "s", "k": b64(b"shared secret of more than 32 bytes")},
        ]
        return json.dumps({"keys": keys})

    def public_pem(self) -> bytes:
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.rsa.public_key().public_bytes(serialization.Encoding.PEM, kind)

    def sign(self, claims: dict[str, Any], *, alg: str = "RS256", **header: Any) -> str:
        kid = {"RS256": "r", "PS256": "r", "ES256": "e", "EdDSA": "d"}.get(alg, "r")
        head = {"typ": "JWT", "alg": alg, "kid": kid} | header
        message = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{message}.{b64(self._signature(alg, message.encode()))}"

    def _signature(self, alg: str, message: bytes) -> bytes:
        if alg == "RS256":
            return self.rsa.sign(message, padding.PKCS1v15(), hashes.SHA256())
        if alg == "PS256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
            return self.rsa.sign(message, pss, hashes.SHA256())
        if alg == "ES256":
            r, s = decode_dss_signature(self.ec.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if alg == "EdDSA":
            return self.ed.sign(message)
        if alg == "HS256":  # the attack: the public key as a shared secret
            return hmac.new(self.public_pem(), message, hashlib.sha256).digest()
        return b""


def claims(now: float, **changes: Any) -> dict[str, Any]:
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "Doe^Jane",
        "iat": int(now),
        "exp": int(now) + 60,
        "tenant": "ward",
        "scope": "submit read openid",
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}
