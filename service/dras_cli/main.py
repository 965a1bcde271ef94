"""The command `dras`: its sub-commands by name, and the boundary that every error ends at."""

import sys
import traceback
from collections.abc import Sequence

import click

from dras_cli.boundary import EXIT_CODES, Invocation, explain, show
from dras_cli.lazy import Entry, LazyGroup

_COMMANDS = {
    "extract": Entry("dras_cli.commands.extract:extract", "Turn one CT study into features and scores."),
    "pair": Entry("dras_cli.commands.pair:pair", "Score an inspiration and an expiration together."),
    "compare": Entry("dras_cli.commands.compare:compare", "Say how stored results of one person differ."),
    "repeat": Entry("dras_cli.commands.repeat:repeat", "Run a study again as its result says it was run."),
    "export": Entry("dras_cli.commands.export:export", "Write other forms of a stored result."),
    "batch": Entry("dras_cli.commands.batch:batch", "Process a cohort, through any crash."),
    "cohort": Entry("dras_cli.commands.cohort:cohort", "Put many stored results into one table."),
    "inspect": Entry("dras_cli.commands.inspect:inspect", "Say what would be used, without computing."),
    "serve": Entry("dras_cli.commands.serve:serve", "Run the service on this machine."),
    "submit": Entry("dras_cli.commands.submit:submit", "Send a study to a service and wait for its result."),
    "results": Entry("dras_cli.commands.results:results", "Show and save what came of a job of a service."),
    "status": Entry("dras_cli.commands.jobs:status", "Say where a job of a service is."),
    "jobs": Entry("dras_cli.commands.jobs:jobs", "List a service's jobs."),
    "cancel": Entry("dras_cli.commands.jobs:cancel", "Cancel a job of a service."),
    "events": Entry("dras_cli.commands.jobs:events", "Follow a service's jobs."),
    "pacs": Entry("dras_cli.commands.pacs:pacs", "Receive from a PACS, fetch from it, send back to it."),
    "phantom": Entry("dras_cli.commands.phantom:phantom", "Make a synthetic chest CT with known truth."),
    "atlas": Entry("dras_cli.commands.atlas:atlas", "Import, list and show atlases."),
    "model": Entry("dras_cli.commands.model:model", "Make, import, verify and show model bundles."),
    "keys": Entry("dras_cli.commands.keys:keys", "Make, list and revoke the keys of a service."),
    "tenants": Entry("dras_cli.commands.tenants:tenants", "List a service's tenants and limit them."),
    "audit": Entry("dras_cli.commands.audit:audit", "Verify and export a service's audit log."),
    "doctor": Entry(
        "dras_cli.commands.doctor:doctor", "Check a service's surroundings; a cure for each fault."
    ),
    "fsck": Entry("dras_cli.commands.fsck:fsck", "Check a service's files against its database."),
    "train": Entry("dras_cli.commands.train:train", "Make weights of one's own from chest CTs."),
    "completion": Entry(
        "dras_cli.commands.completion:completion", "Print what a shell needs to complete `dras`."
    ),
    "version": Entry("dras_cli.commands.version:version", "Show the version."),
    "demo": Entry("dras_cli.commands.demo:demo", "Run the whole service once on one study.", hidden=True),
}


@click.command(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def cli(invocation: Invocation, *, debug: bool) -> None:
    """Anatomy-indexed features and emphysema scores from chest CT. Research use only, not for diagnosis."""
    invocation.debug = debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit status."""
    invocation = Invocation()
    try:
        status = cli.main(arguments, prog_name="dras", obj=invocation, standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:  # rich's answer to a reader that went away, as in `dras … | head`
        return end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the boundary: every error ends here as a sentence
        if isinstance(error, click.UsageError) and error.ctx is not None and not invocation.json:
            click.echo(error.ctx.get_usage(), err=True)
        if invocation.debug:
            traceback.print_exc()
        failure = explain(error)
        show(failure, invocation)
        return failure.exit_status
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
