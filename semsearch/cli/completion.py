"""`semsearch completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      eval "$(semsearch completion bash)"                          in ~/.bashrc
      eval "$(semsearch completion zsh)"                           in ~/.zshrc
      semsearch completion fish > ~/.config/fish/completions/semsearch.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "semsearch", "_SEMSEARCH_COMPLETE").source())
