"""`i2i completion`."""

import click


@click.command(
    short_help="Print the script by which a shell completes commands.",
    epilog="""\b
Examples:
  i2i completion bash
  i2i completion zsh
  i2i completion fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options, presets, settings and models.

    bash: add `eval "$(i2i completion bash)"` to ~/.bashrc; zsh: `eval "$(i2i completion zsh)"` to ~/.zshrc; fish:
    `i2i completion fish > ~/.config/fish/completions/i2i.fish`.
    """
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(context.find_root().command, {}, "i2i", "_I2I_COMPLETE").source())
