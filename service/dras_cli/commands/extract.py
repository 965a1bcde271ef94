"""`dras extract`: the whole pipeline on one study, in this process."""

import json
from pathlib import Path

import click

from dras_cli.options import (
    AnyPath,
    EncoderChoice,
    choice_options,
    encoder_options,
    json_option,
    page_options,
)
from dras_cli.progress import busy, stage_bars
from dras_cli.tables import print_result
from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder
from dras_model.library import open_weights
from dras_model.outputs.report.page import Page
from dras_model.pipeline import extract as extract_study
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


@click.command()
@click.argument("path", type=AnyPath)
@click.option(
    "-o", "--out", type=AnyPath, required=True, help="Folder for the outputs; appears when complete."
)
@encoder_options
@choice_options
@page_options
@click.option("--timings", type=AnyPath, metavar="FILE.json", help="Write seconds a stage to this file.")
@click.option("--force", is_flag=True, help="Replace whatever is in the output folder.")
@json_option
def extract(
    *,
    path: Path,
    out: Path,
    encoder: EncoderChoice,
    choices: Choices,
    page: Page,
    timings: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Turn the CT study at PATH into features and scores.

    PATH is a DICOM folder or file, a zip or tar of one, or a NIfTI file in HU.
    """
    if timings is not None:
        _check_place(timings)
    with busy("opening the encoder"):
        atlas, bundle = open_weights(encoder.bundle, encoder.atlas)
        opened = Encoder.open(bundle, device=encoder.device or "cpu", threads=encoder.threads)
    with stage_bars() as report:
        result = extract_study(
            path,
            out,
            atlas=atlas,
            encoder=opened,
            choices=choices,
            report=report,
            overwrite=force,
            page=page,
        )
    if timings is not None:
        _write_timings(timings, result.timings)
    if as_json:
        click.echo(result.model_dump_json())
    else:
        print_result(result)
        click.echo(f"Written to {out}.")


def _check_place(timings: Path) -> None:
    """Refuse a place that cannot be written before a study is computed rather than after. Raises SetupRefused."""
    if timings.is_dir() or not timings.parent.is_dir():
        reason = "it is a folder" if timings.is_dir() else "No such file or directory"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(timings), reason=reason)


def _write_timings(path: Path, timings: dict[str, float]) -> None:
    try:
        path.write_text(json.dumps(timings, indent=2) + "\n")
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(path), reason=reason) from error
