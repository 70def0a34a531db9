"""`nas completion`: what a shell needs to complete commands, options and paths."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script with which SHELL completes commands, options and paths of nas.

    To use it in every new shell, run the command in the start-up file of the shell.

    \b
    Examples:
      echo 'eval "$(nas completion bash)"' >> ~/.bashrc
      echo 'eval "$(nas completion zsh)"' >> ~/.zshrc
      nas completion fish > ~/.config/fish/completions/nas.fish
    """
    group = click.get_current_context().find_root().command
    completion = get_completion_class(shell)
    assert completion is not None, "click knows these shells"
    click.echo(completion(group, {}, "nas", "_NAS_COMPLETE").source())
