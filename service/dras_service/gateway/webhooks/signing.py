"""Signatures of calls, by the scheme of Standard Webhooks 1.0 (github.com/standard-webhooks).

HMAC-SHA256 over id, time and body, so that a receiver can tell who speaks, that nothing was changed, and that
the call is no older one sent again.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification wants 24 to 64


def new_secret() -> str:
    """Make a secret for one webhook."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(secret: str, *, call_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a call; `at` is in seconds since the epoch. Raises ValueError for no secret of ours."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("this is no webhook's secret") from error
    signature = hmac.new(key, b"%s.%d.%s" % (call_id.encode(), at, body), hashlib.sha256).digest()
    return {
        "webhook-id": call_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
