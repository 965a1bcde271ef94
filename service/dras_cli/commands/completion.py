"""`dras completion`: what a shell needs to complete commands, options and ids of jobs; click writes the script."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_DRAS_COMPLETE"  # what click derives from the command's name
_WHERE = """\b
bash:  echo 'eval "$(dras completion bash)"' >> ~/.bashrc
zsh:   echo 'eval "$(dras completion zsh)"' >> ~/.zshrc
fish:  dras completion fish > ~/.config/fish/completions/dras.fish"""


@click.command(epilog=_WHERE)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(*, shell: str) -> None:
    """Print the script that makes SHELL complete `dras`, to be read where the shell starts."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell} is known")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "dras", _VARIABLE).source())
