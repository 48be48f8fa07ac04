"""--init-from: what fits is taken and named, the rest is fresh and named."""

import re

import pytest
import torch

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.errors import ModelError, UsageError
from i2i.models.modelfile import load_tensors
from i2i.training.finetune import init_from
from tests.conftest import smallest_config, tiny_config


def build(kind, *overrides):
    config = smallest_config(kind, ".", *overrides)
    torch.manual_seed(5)
    return ALGORITHMS[config.algorithm](config)


def test_a_run_begins_with_the_weights_of_another(tiny_run, few_pairs, tmp_path, capsys):
    config = tiny_config(f"train.init_from={tiny_run}", "optimizer.lr=1e-12", data=few_pairs)
    i2i.train(config, tmp_path / "run")
    said = capsys.readouterr().err
    assert f"{tiny_run / 'model.safetensors'} (B2A)" in said
    assert re.search("Fresh .*: discriminator", said)
    before, after = (load_tensors(run / "model.safetensors", "B2A") for run in (tiny_run, tmp_path / "run"))
    weights = [name for name in before if name.endswith("weight")]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in weights)
    resumed = tiny_config(f"train.init_from={tiny_run}", "optimizer.lr=1e-12", "schedule.images=20", data=few_pairs)
    i2i.train(resumed, tmp_path / "run", resume=True)
    assert "Fresh" not in capsys.readouterr().err  # a resumed run has its own


def test_what_does_not_fit_starts_fresh_and_is_named(tiny_run):
    algorithm = build("pix2pix", "data.channels_a=1")  # B2A: one output channel in place of three
    own = algorithm.networks["generator"].state_dict()
    lines = init_from(algorithm, str(tiny_run))
    assert f"{len(own) - 2} of {len(own)} tensors" in lines[0]
    assert "fresh: up.3.1.1.weight, up.3.1.1.bias" in lines[0]
    assert re.search("Fresh .*: discriminator", lines[-1])


def test_tensors_that_start_fresh_are_counted(tiny_run):
    (line, _) = init_from(build("pix2pix", "generator.width=3"), str(tiny_run))
    fit, all_, more = map(int, re.search(r": (\d+) of (\d+) .* and (\d+) more\.$", line).groups())
    assert fit + 4 + more == all_  # four are named


def test_one_of_two_directions_may_come_from_a_model_of_one(tiny_run):
    algorithm = build("cyclegan")
    algorithm.networks["G_B2A"] = build("pix2pix").networks["generator"]
    lines = init_from(algorithm, str(tiny_run))
    assert lines[0].startswith("G_B2A: ")
    assert re.search("Fresh .*: D_A, D_B, G_A2B", lines[-1])


def test_generators_of_noise_begin_with_their_kind_alone(noise_model, tiny_run):
    algorithm = build("gan", "generator.latent=16", "generator.width=4")
    (line, fresh) = init_from(algorithm, str(noise_model))
    assert "(generate)" in line
    assert re.search("Fresh .*: discriminator", fresh)
    with pytest.raises(UsageError, match=r"translates.*noise"):
        init_from(algorithm, str(tiny_run))
    with pytest.raises(UsageError, match=r"noise.*translates"):
        init_from(build("pix2pix"), str(noise_model))


def test_a_model_of_which_nothing_fits_is_refused(tiny_run):
    algorithm = build("pix2pix", "generator.width=3", "data.channels_a=1")
    with pytest.raises(ModelError, match="Nothing"):
        init_from(algorithm, str(tiny_run))


def test_what_cannot_be_trained_on_is_refused(tiny_onnx, few_pairs, tmp_path):
    with pytest.raises(UsageError, match="run folder"):
        init_from(build("pix2pix"), str(tiny_onnx))
    with pytest.raises(ModelError, match="nothing"):
        init_from(build("pix2pix"), str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="nothing"):
        i2i.train(tiny_config(f"train.init_from={tmp_path / 'nothing'}", data=few_pairs), tmp_path / "run")
    assert not (tmp_path / "run").exists()
