"""`i2i init`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import completing, options
from i2i.cli.commands import PluginCommand
from i2i.errors import UsageError


@click.command(
    cls=PluginCommand,
    short_help="Write all settings of a preset to a YAML file.",
    epilog="""\b
Examples:
  i2i init pix2pix -o new.yaml
  i2i init --schema -o i2i.schema.json
""",
)
@click.argument("preset", required=False, metavar="PRESET", shell_complete=completing.presets)
@click.option("-o", "--output", type=options.OutputPath(), help="The file to write.  [default: standard output]")
@click.option(
    "--schema",
    "with_schema",
    is_flag=True,
    help="Without PRESET: write only the JSON schema, from which editors complete and check settings.",
)
@options.overwrite
def init(preset: str | None, output: Path | None, with_schema: bool, overwrite: bool) -> None:
    """Write all settings of a preset to a YAML file, each with what it means, what it takes and its default.

    Change what you like, and train with `i2i train FILE.yaml`. Editors complete and check the file with its first line,
    and with i2i.schema.json, which comes with it. For a short file with only what differs, write `base: PRESET`
    (docs/presets.md).
    """
    from i2i.config import find_config, preset_names
    from i2i.config.yamlfile import SCHEMA_NAME
    from i2i.files import check_output, write_text

    if preset is None and not with_schema:
        raise UsageError(f"Name a preset, or add --schema. Presets: {', '.join(preset_names())}.")
    if preset is not None:
        find_config(preset)
        if with_schema:
            raise UsageError(f"--schema writes the schema alone. -o FILE.yaml writes it beside {preset}, too.")
    if output is not None:
        check_output(output, overwrite, *((".yaml", ".yml") if preset else (".json",)))
    with status.shown(), status.loading_torch():
        from i2i.algorithms.describing import settings_file, settings_schema

    if preset is None:
        texts = {output: settings_schema()}
    else:
        texts = {output: settings_file(preset)}
        if output:  # the schema is ours, of whatever version: it is replaced
            texts[output.with_name(SCHEMA_NAME)] = settings_schema()
    for path, text in texts.items():
        if path is None:
            click.echo(text, nl=False)
        else:
            write_text(path, text)
            click.echo(path)
