"""Errors that a user can cause, each with the exit code its command ends with.

    I2IError                 1   something failed; the message says what, what is allowed, what to do next
    ├── UsageError           2   wrong words on the command line, or a run that must not be touched
    │   ├── ConfigError      2   a setting that does not exist or does not fit
    │   └── RunExistsError   2   a run that would have to be resumed
    ├── DataError            1   folders, pairs
    │   ├── ImageError       1   one picture that cannot be read or written
    │   └── ArchiveError     1   an archive that cannot be unpacked, or must not be
    ├── DownloadError        1   an address that gives no file, or not the one that was asked for
    ├── ModelError           1   a model file that is not one, or does not fit what is asked of it
    ├── ExportError          1   an exported file that does not equal its model
    ├── DiskFullError        1   no room for what must not be lost
    ├── LoaderError          4   training gets no more pictures: a read hangs, or a loader process died
    ├── OutOfMemoryError     5   a training, or a picture, that does not fit into memory as it is set
    ├── DevicesError         1   processes that train one model together lost each other
    └── NonFiniteError       6   training produced NaN or infinity

A training that was asked to stop exits with 128 + the signal's number, after it has saved (`Stopped`).
A command that did its work but had to refuse some inputs exits with `SOME_REFUSED`.
Our own mistakes are `assert` and show a traceback; these never do, except under --debug.
"""

import signal

SOME_REFUSED = 3


class I2IError(Exception):
    """What was received, what is allowed, what to do next: one to three lines, ready to print."""

    exit_code = 1


class UsageError(I2IError):
    """The command was understood but must not be carried out as given."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting that does not exist, or a value it does not take."""


class RunExistsError(UsageError):
    """A training into the folder of a run, without the word that it is to be resumed."""


class DataError(I2IError):
    """A data folder that cannot be trained or scored on."""


class ImageError(DataError):
    """One picture that cannot be read or written."""


class ArchiveError(DataError):
    """An archive that is damaged, or holds what must not reach the disk."""


class DownloadError(I2IError):
    """An address that gives no file, or a file that is not the one asked for."""


class ModelError(I2IError):
    """A file that is not one of our models, or a request that the model cannot meet."""


class ExportError(I2IError):
    """An exported model that differs from the one it came from."""


class DiskFullError(I2IError):
    """A disk without room for a run's checkpoints and model."""


class LoaderError(I2IError):
    """Training got no batch in time, or a process that loads them died."""

    exit_code = 4


class OutOfMemoryError(I2IError):
    """A training or a picture that needs more memory than there is; nothing is made smaller silently."""

    exit_code = 5


class DevicesError(I2IError):
    """The processes that train one model together cannot go on."""


class NonFiniteError(I2IError):
    """Training met NaN or infinity and stopped before it could spread."""

    exit_code = 6


def printable(text: str) -> str:
    """Return `text` with unprintable characters escaped: names of files can hold anything but lines."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """As `printable`, with line breaks escaped too: for names that stand in a line of ours."""
    return printable(str(text).replace("\n", "\\n"))


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and did.

    No I2IError: what catches errors to go on with other work must not go on after this.
    """

    def __init__(self, signum: int, images: int | None = None):
        self.signum = signum
        self.exit_code = 128 + signum
        self.images = images

    def __str__(self) -> str:
        """Say where."""
        where = "before the training began" if self.images is None else f"at image {self.images}; all of it is saved"
        return f"{signal.Signals(self.signum).name}: stopped {where}."
