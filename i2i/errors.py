"""Errors that a user can cause, each with the exit code its command ends with.

    I2IError                 1   something failed; the message says what, what is allowed, what to do next
    ├── UsageError           2   a wrong command line, or a run that must not be touched
    │   ├── ConfigError      2   an unknown setting or an invalid value
    │   └── RunExistsError   2   a run that would have to be resumed
    ├── DataError            1   folders, pairs
    │   ├── ImageError       1   one picture that cannot be read or written
    │   └── ArchiveError     1   an archive that cannot be unpacked, or must not be
    ├── DownloadError        1   an address that returns no file, or a wrong one
    ├── ModelError           1   an invalid model file, or one that cannot do what was asked
    ├── ExportError          1   an exported file that does not equal its model
    ├── DiskFullError        1   no space for what must not be lost
    ├── LoaderError          4   training gets no more pictures: a read hangs, or a loader process died
    ├── OutOfMemoryError     5   a training, or a picture, that does not fit into memory with its settings
    ├── DevicesError         1   processes that train one model together lost contact
    └── NonFiniteError       6   training produced NaN or infinity

A training that was asked to stop exits with 128 + the signal's number, after it has saved (`Stopped`). Other commands
remove unfinished files and exit with 130 after Ctrl-C and 143 after SIGTERM (`Terminated`).
A command that did its work but refused some inputs exits with `SOME_REFUSED`.
Our own mistakes are `assert` and show a traceback; these errors never do, except under --debug.
"""

import functools
import inspect
import re
import signal
from collections.abc import Callable
from typing import ParamSpec, TypeVar

SOME_REFUSED = 3
P = ParamSpec("P")
R = TypeVar("R")


class I2IError(Exception):
    """What was received, what is allowed, what to do next: one to three lines, ready to print."""

    exit_code = 1


class UsageError(I2IError):
    """A command that must not be carried out as given."""

    exit_code = 2


class ConfigError(UsageError):
    """An unknown setting, or an invalid value."""


class RunExistsError(UsageError):
    """A training into the folder of an existing run, without --resume."""


class DataError(I2IError):
    """Data that cannot be trained or scored on."""


class ImageError(DataError):
    """One picture that cannot be read or written."""


class ArchiveError(DataError):
    """An archive that is damaged, or contains what must not reach the disk."""


class DownloadError(I2IError):
    """An address that returns no file, or a wrong one."""


class ModelError(I2IError):
    """A file that is not a model, or a request that the model cannot meet."""


class ExportError(I2IError):
    """An exported model that differs from the one it came from."""


class DiskFullError(I2IError):
    """A disk without space for a run's checkpoints and model, or for more pictures."""


class LoaderError(I2IError):
    """Training got no batch in time, or a loader process died."""

    exit_code = 4


class OutOfMemoryError(I2IError):
    """A training or a picture that needs more memory than there is; nothing is reduced silently."""

    exit_code = 5


class DevicesError(I2IError):
    """The processes that train one model together cannot go on."""


class NonFiniteError(I2IError):
    """Training met NaN or infinity and stopped before they could spread.

    source: where they were first, as a layer of a network; empty where that is not known.
    """

    exit_code = 6

    def __init__(self, text: str, source: str = ""):
        super().__init__(text)
        self.source = source


_OTHERWISE = {"label": "labels", "labels": "table", "seed": "seeds", "page": "output", "size": "width"}
"""Options that Python calls by another name, where a function has that argument."""
_CHOICES = "pad|resize|crop|tile|image|tensor|fp16|fp32|train|val|test|both|A2B|B2A|A|B|folders"
"""What an option in a message may be given, as a word."""
_OPTION = re.compile(rf"--(?P<name>[a-z][a-z-]*)(?: (?P<value>{_CHOICES})\b)?(?P<gap> (?=[A-Z]))?")
_SETTING = re.compile(r"--set ([\w.]+)=(\[[^\]]*\]|[\w.-]*\w)")
_LITERALS = {"null": "None", "true": "True", "false": "False"}


def speaks_python(function: Callable[P, R]) -> Callable[P, R]:
    """Let the errors of a function name its arguments where they name options of the command line."""
    names = inspect.signature(function).parameters

    def argument(found: re.Match[str]) -> str:
        option, value, gap = found["name"].replace("-", "_"), found["value"], found["gap"] or ""
        name = next((one for one in (_OTHERWISE.get(option), option) if one in names), None)
        if name is None:
            return found[0]
        if names[name].default is False:
            return f"{name}=True{f' {value}' if value else ''}{gap}"
        return f'{name}="{value}"{gap}' if value else f"{name}=" if gap else name

    def setting(found: re.Match[str]) -> str:
        name, value = found.groups()
        literal = _LITERALS.get(value, value if re.fullmatch(r"[\d.,\[\]-]+", value) else f'"{value}"')
        return f'settings={{"{name}": {literal}}}'

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except I2IError as error:
            text = re.sub(r"(?<![\w-])-o (?=[A-Z])", "output=" if "output" in names else "-o ", str(error))
            text = _SETTING.sub(setting, text).replace("} settings={", ", ")  # several are one argument
            error.args = (_OPTION.sub(argument, text), *error.args[1:])
            raise

    return call


def printable(text: str) -> str:
    """Return `text` with unprintable characters escaped, except line breaks: file names can contain any."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """Return `printable` text with line breaks escaped too, for names within a line of ours."""
    return printable(str(text).replace("\n", "\\n"))


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and did.

    It is not an I2IError: code that catches errors to continue with other work must not continue after this.
    """

    def __init__(self, signum: int, images: int | None = None):
        self.signum = signum
        self.exit_code = 128 + signum
        self.images = images

    def __str__(self) -> str:
        """Say where it stopped."""
        where = "before the training began" if self.images is None else f"at image {self.images}; all of it is saved"
        return f"{signal.Signals(self.signum).name}: stopped {where}."


class Terminated(KeyboardInterrupt):
    """SIGTERM ended a command as Ctrl-C does: finished outputs stay, and unfinished ones are removed."""

    exit_code = 128 + signal.SIGTERM


def stop_code(error: BaseException | None) -> int:
    """Return the exit code of a command that `error` stopped: that of Ctrl-C (130), if it is not Terminated."""
    return Terminated.exit_code if isinstance(error, Terminated) else 128 + signal.SIGINT
