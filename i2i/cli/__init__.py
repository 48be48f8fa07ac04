"""The command line: one file for each command, each a thin shell over one library call.

Commands import what they need inside their bodies, so that `i2i --help` loads no torch and
`i2i translate` with an .onnx file never does.
"""

import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from i2i.cli.arithmetic import arithmetic
from i2i.cli.bench import bench
from i2i.cli.breed import breed
from i2i.cli.card import card
from i2i.cli.compare import compare
from i2i.cli.completion import completion
from i2i.cli.diagnose import diagnose
from i2i.cli.doctor import doctor
from i2i.cli.encode import encode
from i2i.cli.evaluate import evaluate
from i2i.cli.export import export
from i2i.cli.generate import generate
from i2i.cli.import_ import import_
from i2i.cli.info import info
from i2i.cli.init import init
from i2i.cli.interpolate import interpolate
from i2i.cli.invert import invert
from i2i.cli.mix import mix
from i2i.cli.models import models
from i2i.cli.push import push
from i2i.cli.serve import serve
from i2i.cli.shard import shard
from i2i.cli.train import train
from i2i.cli.translate import translate
from i2i.cli.traverse import traverse
from i2i.cli.weights import weights
from i2i.errors import I2IError, OutOfMemoryError, Terminated, UsageError, one_line, printable, stop_code
from i2i.machine import is_out_of_memory
from i2i.version import DISTRIBUTION, __version__

EXTRAS = {
    "onnxruntime": "runtime",
    **dict.fromkeys(
        ("torch", "torchvision", "lightning_fabric", "albumentations", "kornia", "cv2", "onnx", "onnxscript"), "train"
    ),
}
"""Modules that a user may have left out, and the extra that installs each."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="i2i")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Pictures from pictures and from noise: train on your own folders, use the model, deploy one ONNX file."""
    context.obj = debug


for command in (
    *(init, train, translate, generate, interpolate, mix, traverse, arithmetic, breed),
    *(encode, invert, evaluate, diagnose),
    *(compare, export, bench, card, push, serve, shard, import_, info, models, doctor, weights, completion),
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors that a user can cause end in one message and their exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape names that are not UTF-8, as stderr does
        sys.stdout.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)  # trainings and the server have their own
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]  # allowed anywhere in the line
    sys.exit(run_cleanly(lambda: cli.main(arguments, "i2i", standalone_mode=False), debug))


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)  # a second one ends the process at once
    raise Terminated


def run_cleanly(call: Callable[[], object], debug: bool = False) -> int:
    """Call and return the exit code; errors that a user can cause print one message and no traceback."""
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt) as stop:
        print("Stopped.", file=sys.stderr)
        return stop_code(stop.__cause__ if isinstance(stop, click.Abort) else stop)
    except click.ClickException as error:
        error.show(said := io.StringIO())
        print(_given_in_one_line(said.getvalue()), end="", file=sys.stderr)
        return error.exit_code
    except (I2IError, OSError) as error:
        if debug:
            raise
        if isinstance(error, I2IError):
            text, code = str(error), error.exit_code
        else:
            text, code = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}.", 1
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if debug or module not in EXTRAS:
            raise
        text = f"This needs {module}, which is not installed here. Run: pip install '{DISTRIBUTION}[{EXTRAS[module]}]'"
        text += "\nTo use a model without torch, take an .onnx file, which `i2i export` writes." * (module == "torch")
        code = UsageError.exit_code
    except (MemoryError, RuntimeError) as error:
        if debug or not is_out_of_memory(error):
            raise
        reason = (str(error) or "the request exceeds what is available").splitlines()[0].rstrip(".")
        text = f"Out of memory: {reason}.\nAsk for smaller sizes, or close other programs."
        code = OutOfMemoryError.exit_code
    print(f"Error: {printable(_given_in_one_line(text))}".replace("\n", "\n       "), file=sys.stderr)
    return code


def _given_in_one_line(text: str) -> str:
    """Return a message with line breaks escaped in the names that the user gave; its own stay."""
    for word in sys.argv[1:]:
        for name in (word, str(Path(word)), str(Path(word).absolute())):
            text = text.replace(name, one_line(name)) if "\n" in name else text
    return text
