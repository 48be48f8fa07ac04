"""Where an exported file comes from: its model's name, licence and author, the day of its training, and its data.

All of it follows from the model and the options, so that two exports of a model are the same bytes.
"""

import re
from pathlib import Path

from i2i.errors import one_line
from i2i.exporting.options import ExportOptions
from i2i.files import read_json
from i2i.models.hub import is_hub_address
from i2i.models.modelfile import MODEL_NAME, find_model
from i2i.models.shipped import card_of
from i2i.models.spec import Origin
from i2i.report.record import RUN_FACTS

_NAME_CHARACTERS = 256


def origin_of(model: str | Path, options: ExportOptions) -> Origin:
    """Return the origin of a model: what `options` say, and what its run folder or shipped card knows."""
    source = find_model(Path(model))
    date, digest = _of_run(source.parent) if source.name == MODEL_NAME else (None, None)
    card = card_of(source)
    licence = options.licence or (card.licence if card else None)
    name = one_line(name_of(model))[:_NAME_CHARACTERS]
    return Origin(name=name, licence=licence, author=options.author, date=date, data_sha256=digest)


def name_of(model: str | Path) -> str:
    """Return what to call a model: as its repository on the hub, its run folder or its file."""
    if is_hub_address(Path(model)):
        return Path(model).parts[2].partition("@")[0]
    source = find_model(Path(model)).resolve()
    return source.parent.name if source.name == MODEL_NAME else source.stem


def _of_run(folder: Path) -> tuple[str | None, str | None]:
    """Return the day of the last start of a training, and the digest of its pictures; None where it is not noted."""
    facts = read_json(folder / RUN_FACTS)
    facts = facts if isinstance(facts, dict) else {}
    sessions = facts.get("sessions")
    newest = sessions[-1] if isinstance(sessions, list) and sessions else None
    date = re.match(r"\d{4}-\d{2}-\d{2}", str(newest.get("date"))) if isinstance(newest, dict) else None
    digest = re.fullmatch(r"[0-9a-f]{64}", str(facts.get("data_sha256")))
    return date and date[0], digest and digest[0]
