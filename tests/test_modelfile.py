"""Hostile and damaged .safetensors files: a description that does not fit its weights costs nothing."""

import json

import pytest
from safetensors.torch import load_file, save_file

import i2i
from i2i.errors import ModelError


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("arguments", {"width": 10**6}, "width is 1000000"),
        ("arguments", {"width": 4096}, "do not fit: down.0.1.weight is"),
        ("arguments", {"depth": 9}, "do not fit: "),
        ("arguments", {"width": [2]}, r"width is \[2\]"),
        ("arguments", {"nothing": 1}, "unexpected keyword argument 'nothing'"),
        ("arguments", {"in_channels": 4}, "in_channels is described as 4 and otherwise"),
        ("generator", {"network": "dcgan"}, "do not fit"),
        ("generator", {"network": "nothing"}, "do not fit: 'nothing'"),
        ("generator", {"size_multiple": 512}, "size_multiple is 16, not 512"),
        ("generator", {"size_multiple": 10**9}, "its description does not fit"),
        ("generator", {"network": "\x1b[2J"}, "its description does not fit"),
    ],
)
def test_a_description_that_does_not_fit_its_weights_is_named(tiny_run, tmp_path, part, changes, reason):
    spec = i2i.load(tiny_run).spec.model_dump(mode="json")
    generator = spec["generators"]["B2A"]
    (generator["arguments"] if part == "arguments" else generator).update(changes)
    save_file(load_file(tiny_run / "model.safetensors"), tmp_path / "m.safetensors", {"i2i": json.dumps(spec)})
    with pytest.raises(ModelError, match=reason) as refused:
        i2i.load(tmp_path / "m.safetensors", device="cpu")
    assert len(str(refused.value).splitlines()) <= 2
