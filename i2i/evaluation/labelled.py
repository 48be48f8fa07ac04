"""Models that translate to labels: each picture to the classes of its own, or all pictures alike."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from i2i.config.settings import DataSettings
from i2i.data.labels import class_numbers
from i2i.errors import UsageError
from i2i.evaluation.choosing import labels_of_run
from i2i.images.frames import clip_of
from i2i.runtime.backends import open_backend
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.translator import Translator, for_classes

OWN = "own labels"
"""What the labels of an evaluation are called where each picture has its own."""


class Labelled:
    """A translator, and the classes that each picture is translated to.

    classes: numbers, one of each label set, by the name of the picture; None where all go the same way.
    """

    def __init__(self, translator: Translator, classes: Mapping[str, tuple[int, ...]] | None = None):
        self.translator, self.classes = translator.in_order(), classes
        self._for_classes = functools.lru_cache(maxsize=16)(functools.partial(for_classes, translator))

    @classmethod
    def open(
        cls,
        model: str | Path,
        names: Sequence[str],
        direction: str | None = None,
        device: str = "auto",
        fit: Fit = AUTO,
        values: Values = UNSAID,
        labels: Sequence[str] = (),
        table: str | None = None,
    ) -> Self:
        """Open a model for pictures of these names; direction to values: as in Translator.open.

        labels: classes by name, for all pictures. table: as `data.labels`, by default that of the model's run. Raises
        UsageError where a model takes labels and there is neither, and for a table of no use; DataError for pictures
        without labels.
        """
        spec, backend, chosen = open_backend(model, lambda spec: spec.pick(direction), device, values=values)
        translator = Translator(spec, backend, chosen, fit, model)
        blocks = translator.generator.blocks
        if table and (labels or not blocks):
            reason = "--label gives all pictures the same" if labels else "this model was trained without labels"
            raise UsageError(f"--labels {table} does not apply: {reason}. Leave it out.")
        if labels or all(block.size == 1 for block in blocks):
            return cls(translator.with_labels(labels))
        table = table or labels_of_run(model)
        if table is None:
            raise UsageError(
                f"{model} translates to labels, and those of these pictures are unknown. Add --labels FILE.csv or\n"
                "--labels folders; or --label with a class of each set, for all pictures alike."
            )
        data = DataSettings(labels=table, classes={block.name: dict.fromkeys(block.classes, 1) for block in blocks})
        return cls(translator, dict(zip(names, class_numbers(names, data), strict=True)))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the pictures are translated to: the class of each label set, or OWN; none of a model without labels."""
        return (OWN,) if self.classes is not None else tuple(self.translator.generator.labels)

    def of(self, name: str) -> Translator:
        """Return the translator for a picture; a recurrent model is given the frames of each clip in order."""
        self.translator.begin(clip_of(name))
        return self.translator if self.classes is None else self._for_classes(self.classes[name])

    def way_back(self, model: str | Path, device: str, fit: Fit) -> Self | None:
        """Open the other direction of the model, with the same labels; None if it has one direction only."""
        there = self.translator
        back = there.direction[::-1]
        if back not in there.spec.generators:
            return None
        spec, backend, chosen = open_backend(model, lambda spec: spec.pick(back), device)
        translator = Translator(spec, backend, chosen, fit, model)
        return type(self)(translator if self.classes else translator.with_labels(there.generator.labels), self.classes)
