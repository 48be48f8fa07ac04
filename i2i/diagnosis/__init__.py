"""A run examined after its training, or during it: illnesses by name, each with its number and the setting to turn.

Every check measures one number and compares it with a threshold (illnesses.py). What a run cannot have, or what cannot
be read, is listed as not measured, with the reason.
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from i2i import status
from i2i.diagnosis.facts import PICTURES
from i2i.diagnosis.facts import NotMeasured as NotMeasured
from i2i.diagnosis.facts import RunFacts as RunFacts
from i2i.diagnosis.illnesses import ILLNESSES as ILLNESSES
from i2i.diagnosis.illnesses import Illness as Illness
from i2i.diagnosis.reading import Reading
from i2i.errors import I2IError, one_line
from i2i.files import write_text

DIAGNOSIS = "diagnosis.json"
"""What `diagnose` writes into the run folder."""


class Symptom(NamedTuple):
    """The number of an illness in a run, the threshold, and what to do where it is beyond that."""

    name: str
    severity: str
    number: float
    threshold: float
    advice: str


class Diagnosis(NamedTuple):
    """The illnesses found, what was measured without one, and the reasons for what was not measured."""

    found: tuple[Symptom, ...]
    healthy: tuple[Symptom, ...]
    where: dict[str, str]
    """Of what was measured: the network, direction or layer with the number."""
    not_measured: dict[str, str]
    pictures: str
    """What went through the networks."""
    seconds: float
    unkept: str = ""
    """Why the run folder does not keep what was found; empty if it does."""

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {
            "found": [one._asdict() for one in self.found],
            "healthy": [one._asdict() for one in self.healthy],
            "where": self.where,
            "not_measured": self.not_measured,
            "pictures": self.pictures,
            "seconds": round(self.seconds, 1),
        }


def diagnose(run: str | Path, pictures: int = PICTURES, device: str = "auto") -> Diagnosis:
    """Examine a run folder, and write what was found into it as diagnosis.json, a list of symptoms.

    A folder that cannot be written to is examined all the same; `unkept` then has the reason.
    pictures: how many go through the networks at most. Raises UsageError for a folder without a run, and for a device
    that is missing.
    """
    began = time.monotonic()
    facts = RunFacts(Path(run), pictures, device)
    found, healthy, where, reasons = list[Symptom](), list[Symptom](), dict[str, str](), dict[str, str]()
    for name, illness in ILLNESSES.items():
        with status.doing(f"Looking for: {name}"):
            try:
                reading = illness.measure(facts)
            except (NotMeasured, I2IError, OSError) as reason:
                reasons[name] = str(reason).splitlines()[0].removesuffix(".")
                continue
        where[name] = one_line(reading.where)
        (found if illness.has(reading.number) else healthy).append(_symptom(name, illness, reading, facts))
    unkept = ""
    try:
        write_text(facts.folder / DIAGNOSIS, json.dumps([one._asdict() for one in found], indent=2) + "\n")
    except OSError as error:
        unkept = error.strerror or str(error)
    try:
        what = facts.what
    except (NotMeasured, I2IError, OSError):
        what = "no pictures"
    return Diagnosis(tuple(found), tuple(healthy), where, reasons, what, time.monotonic() - began, unkept)


def _symptom(name: str, illness: Illness, reading: Reading, facts: RunFacts) -> Symptom:
    number = float(f"{reading.number:.4g}")
    return Symptom(name, illness.severity, number, illness.threshold, advise(illness, facts))


def advise(illness: Illness, facts: RunFacts) -> str:
    """Return what to do: the settings to turn that this run has, with their values."""
    settings: dict[str, Any] = {}
    try:
        settings = facts.config.model_dump(mode="json")
    except (NotMeasured, I2IError):
        return illness.advice
    turns = []
    for name, what in illness.turn.items():
        section, key = name.split(".")
        values = settings.get(section) or {}
        if key == "lr_discriminator" and settings["discriminator"] is None:
            continue
        if key in values and str(values[key]).lower() not in what.split():  # unless it is so already
            now = values["lr"] if key == "lr_discriminator" and values[key] is None else values[key]  # null: as lr
            turns.append(f"{what.format(name)} (now {json.dumps(now)})")
    text = ", or ".join(turns)
    return " ".join(filter(None, [f"In a new run, {text}." if text else "", illness.advice]))
