"""`dras model verify`: the parity report, for people and as JSON."""

from typing import Literal

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from dras_cli.options import device_options, json_option
from dras_cli.progress import busy
from dras_cli.tables import standard_output
from dras_model.encoder.bundle import Bundle, bundle_refused
from dras_model.encoder.manifest import DEVICES, Limit, Manifest
from dras_model.encoder.parity import ParityReport
from dras_model.encoder.parity import verify as verify_bundle
from dras_model.library import load_bundle, open_atlas, open_bundle


@click.command("verify")
@click.argument("name", metavar="[BUNDLE]", required=False)
@click.option("--atlas", metavar="NAME|PATH", help="Atlas to use; the one that BUNDLE names, by default.")
@device_options
@json_option
def verify(
    *,
    name: str | None,
    atlas: str | None,
    device: Literal["cpu", "cuda"] | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Check every hash and the signature of BUNDLE, a name or a path, and run its golden vectors.

    Each execution provider that is here, or the one of --device, is compared with the golden embeddings of the
    bundle and with a reference computed from its weights. With --atlas, the bundle must belong to that atlas. The
    exit status is 4 where anything differs.
    """
    with busy("running the golden vectors"):
        bundle = _open(name, atlas)
        report = verify_bundle(bundle, devices=DEVICES if device is None else (device,), threads=threads)
    if as_json:
        click.echo(report.model_dump_json())
    else:
        _print(report, bundle)
    if not report.agrees:
        raise bundle_refused(bundle.path, report.failure)


def _open(name: str | None, atlas: str | None) -> Bundle:
    if name is not None and atlas is None:
        return load_bundle(name)
    return open_bundle(name, open_atlas(atlas))


def _print(report: ParityReport, bundle: Bundle) -> None:
    console = standard_output()
    console.print(f"{escape(report.bundle)}, sha256 {report.bundle_sha256[:12]}, {bundle.signature.summary}")
    n_files = len(bundle.manifest.files)
    console.print(
        f"{n_files} files have the SHA-256 of the manifest. {report.n_patches} golden patches, compared with"
    )
    numbers = {name: str(number) for number, name in enumerate(report.references, start=1)}
    for name, number in numbers.items():
        console.print(f"  ({number}) {escape(name)}", highlight=False)
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (
        "provider",
        "graph",
        "output",
        "reference",
        "max|Δ|",
        "least cosine",
        "allowed",
        "verdict",
    ):
        table.add_column(heading, overflow="fold")
    for row in report.compared:
        difference = "–" if row.max_difference is None else f"{row.max_difference:.1e}"
        cosine = "–" if row.min_cosine is None else f"{row.min_cosine:.9f}"
        verdict = escape(row.verdict if row.reason is None else f"{row.verdict}: {row.reason}")
        table.add_row(
            row.provider,
            row.graph,
            row.output,
            f"({numbers[row.reference]})",
            difference,
            cosine,
            _limit(row.limit),
            verdict,
        )
    for absent in report.not_run:
        table.add_row(
            absent.provider,
            absent.graph,
            "",
            "",
            "",
            "",
            _limit(absent.limit),
            escape(f"not run: {absent.reason}"),
        )
    console.print(table)
    console.print(f"On CUDA: {on_cuda(bundle.manifest)}.")


def on_cuda(manifest: Manifest) -> str:
    """Say how products are rounded on CUDA, and whether the tolerance there was ever measured."""
    limit = manifest.tolerance.on("cuda")
    rounding = "TF32 is allowed" if limit.tf32 else "TF32 is off, products are float32"
    seen = "not measured" if limit.measured is None else f"measured at {limit.measured:.1e}"
    return f"{rounding}; the tolerance there was {seen} when the bundle was made"


def _limit(limit: Limit) -> str:
    return f"{limit.max_difference:.1e}, cosine {limit.min_cosine}"
