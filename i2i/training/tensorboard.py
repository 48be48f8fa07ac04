"""The rows of metrics.jsonl for TensorBoard, where `log.tensorboard` asks for them."""

import importlib.util
from pathlib import Path
from typing import Any

from i2i.errors import UsageError
from i2i.report.page import WARNING


def refuse_missing_tensorboard() -> None:
    """Raise UsageError where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "log.tensorboard is true, but TensorBoard is not installed.\n"
            "Install it (pip install 'i2i[tensorboard]'), or set log.tensorboard to false."
        )


class TensorBoard:
    """Event files in a folder of their own: scalars "<split>/<name>" over images seen, and warnings as text."""

    def __init__(self, folder: Path, images: int):
        """Write to `folder`; what an earlier run wrote there behind `images` will not be shown."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        try:
            self.writer = SummaryWriter(str(folder), purge_step=images + 1)
        except UnicodeEncodeError as error:
            raise OSError("TensorBoard cannot write to folders whose names are not UTF-8") from error

    def add(self, row: dict[str, Any]) -> None:
        """Write one row of metrics.jsonl; raises OSError, also where the folder has gone, which no write would tell."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} has gone")
        values = {name: value for name, value in row.items() if name not in ("images", "seconds", "split")}
        for name, value in values.items():
            if row["split"] == WARNING:
                self.writer.add_text(WARNING, value, row["images"])
            else:
                self.writer.add_scalar(f"{row['split']}/{name}", value, row["images"])
        self.writer.flush()
