"""`dras model keygen`, `sign` and `trust`: who vouches for a bundle, and whose word counts here."""

import json
import os
from pathlib import Path

import click

from dras_cli.options import ENTRY_NAME, AnyPath, json_option
from dras_model.encoder.bundle import sign_bundle
from dras_model.encoder.signature import PublicKey, SignatureInvalid, new_key, read_key, store_key
from dras_model.library import (
    add_trusted_key,
    keys_folder,
    load_bundle,
    read_public_key,
    remove_trusted_key,
    trust,
)
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

PASSPHRASE = "DRAS_KEY_PASSPHRASE"  # noqa: S105  the name of a variable


@click.command("keygen")
@click.option("-o", "--out", type=AnyPath, required=True, help="The secret key to write; .pub beside it.")
@json_option
def keygen(*, out: Path, as_json: bool) -> None:
    """Make a key pair that signs bundles (Ed25519).

    The secret key is PKCS#8 PEM, readable by its owner only, and encrypted where DRAS_KEY_PASSPHRASE is set. The
    public key is in minisign's format; whoever shall trust your bundles needs it.
    """
    secret, public = new_key(), out.with_name(f"{out.name}.pub")
    key = PublicKey.of(secret, name=out.name)
    _write_new(out, store_key(secret, passphrase=os.environ.get(PASSPHRASE)), mode=0o600)
    try:
        _write_new(public, key.to_bytes(), mode=0o644)
    except SetupRefused:
        out.unlink()  # half a pair is of no use, and would be in the way of the next
        raise
    if as_json:
        click.echo(json.dumps({"secret": str(out), "public": str(public), "key_id": key.key_id}))
    else:
        click.echo(f"Key {key.key_id}: secret in {out}, keep it to yourself; public in {public}.")


@click.command("sign")
@click.argument("name", metavar="BUNDLE")
@click.option("--key", "path", type=AnyPath, required=True, help="The secret key of `dras model keygen`.")
@json_option
def sign(*, name: str, path: Path, as_json: bool) -> None:
    """Sign BUNDLE, a name or a path, after checking every hash of it.

    The signature covers the manifest, and by its hashes every file. The same key and bundle give the same bytes.
    DRAS_KEY_PASSPHRASE opens a key that is encrypted.
    """
    try:
        secret = read_key(path.read_bytes(), passphrase=os.environ.get(PASSPHRASE))
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror})"
        raise SetupRefused(Code.KEY_INVALID, name=path.name, reason=reason) from error
    except SignatureInvalid as error:
        raise SetupRefused(Code.KEY_INVALID, name=path.name, reason=str(error)) from error
    bundle = load_bundle(name, needs_signature=False)
    sign_bundle(bundle, secret)
    key_id = PublicKey.of(secret, name="").key_id
    if as_json:
        click.echo(json.dumps({"path": str(bundle.path), "sha256": bundle.sha256, "key_id": key_id}))
    else:
        click.echo(f"{bundle.manifest.name} in {bundle.path} is signed with key {key_id}.")


@click.command("trust")
@click.argument("path", metavar="[KEY.pub]", type=AnyPath, required=False)
@click.option("--name", help="What the signer will be called here; the file's name by default.")
@click.option("--remove", metavar="NAME", help="Trust the key of this name no longer.")
@json_option
def trust_(*, path: Path | None, name: str | None, remove: str | None, as_json: bool) -> None:
    """Trust bundles signed with KEY.pub; without one, list the keys that are trusted.

    A bundle whose signature by a trusted key does not hold is refused, always. DRAS_REQUIRE_SIGNATURE=1
    refuses those that no trusted key has signed as well.
    """
    if path is not None and remove is not None:
        raise click.UsageError("Name a key to trust, or one to remove, not both.")
    if remove is not None:
        remove_trusted_key(remove)
    if path is not None:
        add_trusted_key(_public_key(path, name))
    found = trust()
    if as_json:
        keys = [{"name": key.name, "key_id": key.key_id} for key in found.keys]
        click.echo(json.dumps({"folder": str(keys_folder()), "required": found.required, "keys": keys}))
        return
    for key in found.keys:
        click.echo(f"{key.name}  {key.key_id}")
    if not found.keys:
        click.echo(f"No key is trusted in {keys_folder()}.")
    click.echo("Signatures are required." if found.required else "Unsigned bundles are taken, and told.")


def _public_key(path: Path, name: str | None) -> PublicKey:
    key = read_public_key(path)
    chosen = name or key.name
    if not ENTRY_NAME.fullmatch(chosen):
        raise click.BadParameter(f"{chosen!a} is no name; letters, digits and _ . @ - are taken.")
    return PublicKey(chosen, key.id, key.raw)


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that is not there yet, with its final permissions from the first byte on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(path), reason=reason) from error
