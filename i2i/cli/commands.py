"""Commands on models, which take them as an option or as an argument."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from i2i.cli import completing


def _run(context: click.Context, parameter: click.Parameter, files: tuple[str, ...]) -> None:
    if files and not context.resilient_parsing:
        from i2i.config.plugins import load_plugin

        for file in files:
            load_plugin(file)


class PluginCommand(click.Command):
    """A command that may use plugins."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--plugin"],
                multiple=True,
                metavar="FILE.py",
                expose_value=False,
                is_eager=True,  # before what it adds is asked for
                callback=_run,
                help="Run a Python file that adds algorithms, networks or losses (docs/plugins.md).",
            )
        )


class ModelCommand(PluginCommand):
    """A command on one model: -m MODEL, or MODEL before its other arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the first argument for the model if there is no -m; fail if there is neither."""
        given, words = self._split(ctx, args)
        model = next(one.name for one in self.params if "-m" in one.opts)
        others = sum(one.required for one in self.params if isinstance(one, click.Argument))
        if model not in given and len(words) > others:
            for place, word in enumerate(args):  # where the first argument is, which may also be an option's value
                rest = [*args[:place], *args[place + 1 :]]
                if word == words[0] and self._split(ctx, rest) == (given, words[1:]):
                    return super().parse_args(ctx, [f"--model={word}", *rest])
        asks_for_help = {one.name for one in self.get_params(ctx) if one.is_eager} & given.keys()
        if not (model in given or asks_for_help or ctx.resilient_parsing):
            ctx.fail("Missing option '-m' / '--model', or MODEL as the first argument.")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the pieces of the usage line, with the model before other arguments."""
        options, *others = super().collect_usage_pieces(ctx)
        return [options, "[MODEL]", *others]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a model where it is the first argument, and options."""
        found = super().shell_complete(ctx, incomplete)
        return found or completing.models(ctx, self.params[0], incomplete)

    def _split(self, ctx: click.Context, args: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the options that are given and, in order, the arguments."""
        params: list[click.Parameter] = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        only = click.Command(self.name, params=params, add_help_option=False)
        given, words, _ = only.make_parser(ctx).parse_args(list(args))
        return given, words


class ModelsCommand(PluginCommand):
    """A command on several models: MODEL..., also with -m before each."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what stands after -m for an argument."""
        return super().parse_args(ctx, [one.removeprefix("--model=") for one in args if one not in ("-m", "--model")])


class RunFolder(click.Path):
    """The folder of a training."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder; fail for model files and shipped models, which lack what a run knows of its training."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{str(value)!r} is not the folder of a training. Give one, as runs/lineart.", param, ctx)


run = click.option(
    "-m",
    "--model",
    "run",
    metavar="RUN",
    type=RunFolder(),
    help="Run folder. RUN as the first argument is the same.",
)
"""In place of options.model, for commands that need more of a run than its model."""
