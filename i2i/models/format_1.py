"""Descriptions in format 1, from model files by earlier versions of i2i."""

from typing import Any

from i2i.models.parts import GENERATE


def from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """Convert a description from format 1, which had generators by direction or one from noise, to format 2."""
    values = {**values, "format": 2}
    generators, noise = values.pop("generators", {}), values.pop("latent_generator", None)
    values.pop("task", None)
    parts = {name: _part_of_format_1("translate", one) for name, one in generators.items()}
    if noise:
        noise = dict(noise)
        size = noise.pop("latent", 0)
        parts[GENERATE] = _part_of_format_1("generate", noise) | {"blocks": [{"name": "noise", "size": size}]}
    return values | {"parts": parts}


def _part_of_format_1(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    part = {"kind": kind, **values}
    for new, old in (("inputs", "in"), ("outputs", "out")):
        if f"{old}_channels" in part:
            part[new] = {"channels": part.pop(f"{old}_channels"), "meaning": part.pop(f"{old}_meaning", None)}
    return part
