"""Where `i2i translate` does its work: on this machine, or on a cluster (--ray)."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from i2i.errors import UsageError

if TYPE_CHECKING:
    from i2i.runtime.picture_options import PictureOptions
    from i2i.runtime.tasks import Task
    from i2i.runtime.translator import Translator


class Work(NamedTuple):
    """What translates the pictures of a command, and where."""

    where: str
    """For the line before it begins."""
    translate: Callable[..., Any]
    """Takes `progress` and `result`, as runtime.pipeline.translate_files."""


def refuse_for_ray(ray: str | None, here: bool) -> None:
    """Raise UsageError for work that is done on one machine only, and where Ray is missing."""
    if ray and here:
        raise UsageError("--ray is for pictures, and a folder of outputs. Leave it out for videos and --in-place.")
    if ray:
        from i2i.runtime.cluster import import_ray

        import_ray()


def find_work(
    ray: str | None,
    model: str,
    then: tuple[str, ...],
    opening: Mapping[str, Any],
    pictures: "PictureOptions",
    translators: "Sequence[Translator]",
    tasks: "Sequence[Task]",
    overwrite: bool,
    workers: int | None,
) -> Work:
    """Return what translates the pictures, on this machine or on the cluster at an address.

    opening: the options of the command that open a model. translators: the models, as they were opened here. Raises
    UsageError for models that no cluster can share out.
    """
    first, *following = translators
    if not ray:
        from i2i.runtime.pipeline import translate_files

        run = functools.partial(translate_files, first, tasks, options=pictures, workers=workers, following=following)
        return Work(f"{first.backend.name} on {first.backend.device}", run)
    if any(one.generator.recurrent for one in translators):
        raise UsageError("This model makes each frame from the one before it, on one machine. Leave out --ray.")
    from i2i.runtime.cluster import Session, translate_on_ray
    from i2i.runtime.foreign import Values

    values = Values(opening["value_range"], opening["output_value_range"])
    kept = {name: opening[name] for name in ("label", "device", "backend")}
    session = Session(model, then, first.direction, fit=first.planner.fit, values=values, options=pictures, **kept)
    shared = functools.partial(translate_on_ray, ray, session, tasks, overwrite=overwrite, actors=workers)
    return Work(f"{first.backend.name} on the Ray cluster {ray}", shared)
