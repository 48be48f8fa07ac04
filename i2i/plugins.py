"""What a plugin calls to add algorithms, networks and losses to the tables of i2i; docs/plugins.md has a whole one."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field

from i2i.algorithms import ALGORITHMS
from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.base import Algorithm
from i2i.config.networks import NETWORK_SETTINGS
from i2i.config.plugins import load_plugin as load_plugin
from i2i.config.section import Section
from i2i.config.settings import Config
from i2i.errors import UsageError
from i2i.losses import ADVERSARIAL, AdversarialLoss
from i2i.networks import DISCRIMINATORS, GENERATORS, Discriminator, Generator

_added: set[tuple[int, str]] = set()


def add_algorithm(name: str, algorithm: type[Algorithm]) -> None:
    """Let settings say `algorithm: name`. Raises UsageError for a name of i2i's own, as all functions here."""
    _add(ALGORITHMS, name, algorithm)


def add_generator(name: str, network: Callable[..., Generator], settings: type[Section]) -> None:
    """Let settings say `generator.name: name`.

    settings: its arguments, with a field `name: Literal[name] = name`; those that the data gives (in_channels,
    out_channels, size, fills_holes) are left out.
    """
    _add_network("generator", GENERATORS, name, network, settings)


def add_discriminator(name: str, network: Callable[..., Discriminator], settings: type[Section]) -> None:
    """Let settings say `discriminator.name: name`; settings: as of a generator."""
    _add_network("discriminator", DISCRIMINATORS, name, network, settings)


def add_adversarial_loss(name: str, loss: AdversarialLoss) -> None:
    """Let settings say `loss.adversarial: name`, with every algorithm that has a discriminator."""
    _add(ADVERSARIAL, name, loss)
    rebuild()


def rebuild() -> None:
    """Let the settings know what the tables hold."""
    generators: Any = Union[tuple(NETWORK_SETTINGS["generator"].values())]  # noqa: UP007
    discriminators: Any = Union[tuple(NETWORK_SETTINGS["discriminator"].values())]  # noqa: UP007
    _retype(Config, "generator", generators)
    _retype(Config, "discriminator", Annotated[discriminators, Field(discriminator="name")] | None)
    for settings in _family(AdversarySettings):
        _retype(settings, "adversarial", Literal[tuple(ADVERSARIAL)])


def _retype(model: type[BaseModel], field: str, annotation: Any) -> None:
    """Give a setting another type."""
    model.model_fields[field].annotation = annotation
    model.model_rebuild(force=True)


def _family(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for one in model.__subclasses__():
        yield from _family(one)


def _add_network(role: str, table: MutableMapping[str, Any], name: str, network: Any, settings: type[Section]) -> None:
    if settings.model_fields["name"].default != name:
        raise UsageError(f"{settings.__name__}.name must be {name!r}, as in name: Literal[{name!r}] = {name!r}.")
    _add(table, name, network)
    NETWORK_SETTINGS[role][name] = settings
    rebuild()


def _add(table: MutableMapping[str, Any], name: str, value: Any) -> None:
    """Add to a table; a cell of a notebook may do so again."""
    if name in table and (id(table), name) not in _added:
        raise UsageError(f"{name} is a name of i2i's own. Give yours another one.")
    _added.add((id(table), name))
    table[name] = value
