"""Training: what a run leaves, that it resumes exactly, and what it refuses."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.config.settings import Config
from i2i.data.sets import make_set
from i2i.errors import ConfigError, DataError, ModelError, NonFiniteError, UsageError
from i2i.exporting import ExportOptions, export_model
from i2i.files import read_json_lines
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from i2i.training.log import BestEffort, Meter, MetricsLog
from i2i.training.optim import Schedule, resolve_schedule
from i2i.training.run import norm_statistics
from tests.conftest import LINEART, SMALLEST, damaged, make_algorithm, save, smallest_config, tiny_config


def test_a_run_folder_holds_what_the_design_says(tiny_run, few_pairs):
    names = {path.name for path in tiny_run.iterdir()} - {"model.onnx"}
    assert names == {
        "config.yaml",
        "i2i.schema.json",
        "checkpoints",
        "model.safetensors",
        "metrics.jsonl",
        "samples",
        "report.html",
        "run.json",
    }
    assert [path.name for path in list_checkpoints(tiny_run / "checkpoints")] == ["000000008.pt", "000000016.pt"]
    assert [path.name for path in sorted((tiny_run / "samples").iterdir())] == [
        "000000008.B2A.png",
        "000000016.B2A.png",
    ]
    assert i2i.load_config(tiny_run / "config.yaml").data.path == (str(few_pairs),)
    rows = read_json_lines(tiny_run / "metrics.jsonl")
    train = [row for row in rows if row["split"] == "train"]
    assert [row["images"] for row in train] == [4, 8, 12, 16]
    assert set(train[0]) == {
        *("images", "epochs", "seconds", "split", "D_real", "D_fake", "G_GAN", "G_L1"),
        *("D_real_accuracy", "D_fake_accuracy", "grad.generator", "grad.discriminator"),
    }
    val = [row for row in rows if row["split"] == "val previews"]
    assert [row["images"] for row in val] == [8, 16]
    assert 0 < val[0]["L1.B2A"] < 255
    facts = json.loads((tiny_run / "run.json").read_text(encoding="utf-8"))
    assert (facts["data"], facts["total_images"]) == ("8 pairs", 16)
    assert set(facts["parameters"]) == {"generator", "discriminator"}
    assert [one["images"] for one in facts["sessions"]] == [0]


ENERGIES = ["discriminator={name: autoencoder, levels: 2, width: 2}", "loss.adversarial=margin"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pix2pix", []),
        ("pix2pix", ["data.augment=kornia", "train.batch=3"]),
        ("pix2pix", ["train.ema_half_life_images=100", "train.batch=1", "train.accumulate=2"]),
        ("cyclegan", []),
        ("cyclegan", ["data.augment=kornia", "data.channels_a=1"]),
        ("gan", ["loss.n_critic=3"]),
        ("wgan_ring", ["loss.n_critic=1", "loss.n_critic_long={steps: 3, first: 1, every: 2}"]),
        ("conditional_gan", ["loss.penalty=r1", "loss.penalty_every_steps=2", "discriminator.norm=group"]),
        ("ring", ["loss.adversarial=wasserstein", "loss.penalty=clip", "loss.history=3"]),
        ("pix2pix", ["loss.l1={from: 100, to: 10, over_images: 12}"]),
        ("context_encoder", ["data.derive.name=free_form_mask"]),
        ("cyclegan", ["loss.diffaugment=[colour, translation, cutout]", "discriminator.packing=2"]),
        ("gan", ["loss.diffaugment=[colour]", "loss.adaptive={target: 0, over_images: 64}", "loss.history=3"]),
        ("ring", ["loss.unrolled_steps=2", "loss.adversarial=minimax"]),
        ("gan", [*ENERGIES, "loss.repelling=0.1"]),
        ("gan", ["loss.instance_noise={from: 0.3, to: 0, over_images: 12}", "loss.flip=0.2"]),
        ("cyclegan", ["loss.terms.random_features={from: 9, to: 1, over_images: 12}", "discriminator.scales=2"]),
        ("cyclegan", ["data.labels={data}/labels.csv", "data.disjoint=false", "loss.condition=concatenation"]),
        ("conditional_gan", ["loss.condition=auxiliary"]),
        ("cogan_digits", []),
        ("infogan", []),
        ("vae", []),
        ("vae_gan", []),
        ("plug_and_play", []),
        ("cut", []),
    ],
    ids=[
        "pix2pix",
        "pix2pix-kornia-odd",
        "pix2pix-mean",
        "cyclegan",
        "cyclegan-kornia-grey",
        "gan-critic",
        "wgan-long-turns",
        "conditional-lazy",
        "toy-clip-pool",
        "pix2pix-in-a-ramp",
        "context-encoder-drawn-holes",
        "cyclegan-diffaugment-packs",
        "gan-adaptive-pool",
        "toy-unrolled",
        "gan-energy-repelling",
        "gan-noise-flips",
        "cyclegan-terms-scales",
        "cyclegan-labels-pool",
        "conditional-classifier",
        "coupled",
        "infogan",
        "vae",
        "vae-gan",
        "plug-and-play",
        "cut",
    ],
)
def test_resuming_equals_never_having_stopped(tmp_path, few_pairs, kind, changes):
    """16 images straight, and 8 + 8 from the checkpoint, give the same bits; pix2pix with dropout."""
    config = smallest_config(kind, few_pairs, *(one.replace("{data}", str(few_pairs)) for one in changes))
    i2i.train(config, tmp_path / "straight")
    shutil.copytree(tmp_path / "straight", tmp_path / "cut")
    for newest in (list_checkpoints(tmp_path / "cut" / "checkpoints")[-1], tmp_path / "cut" / "model.safetensors"):
        newest.unlink()
    with (tmp_path / "cut" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"images": 12, "half a li')
    i2i.train(config, tmp_path / "cut", resume=True)
    straight, cut = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "cut"))
    assert straight.keys() == cut.keys()
    assert all(torch.equal(straight[name], cut[name]) for name in straight)
    states = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "cut")]
    assert_equal_trees(*(state["stepper"] for state in states))
    rows = [read_json_lines(tmp_path / run / "metrics.jsonl") for run in ("straight", "cut")]
    without_time = [[{k: v for k, v in row.items() if k != "seconds"} for row in one] for one in rows]
    assert without_time[0] == without_time[1]  # no gap, no row twice


@pytest.mark.parametrize("kind", list(SMALLEST))
def test_every_algorithm_leaves_a_model_that_is_used_and_exported(tmp_path, few_pairs, kind):
    run = tmp_path / "run"
    i2i.train(smallest_config(kind, few_pairs), run)
    algorithm = make_algorithm(smallest_config(kind, few_pairs))
    both_ways = {"A2B", "B2A"} == set(algorithm.generators)
    spec = i2i.load(run, "A2B" if both_ways else None).spec
    assert list(spec.generators) == [
        name for name in algorithm.generators if name not in ("generate", "encode", "classify")
    ]
    assert spec.images_seen == 16
    assert all(np.isfinite(value) for value in spec.metrics.values())
    rows = read_json_lines(run / "metrics.jsonl")
    assert [row["images"] for row in rows if row["split"] == "train"] == [4, 8, 12, 16]
    weighted = set(algorithm.weights())
    logged = set(rows[0]) - {"images", "epochs", "seconds", "split"}
    assert {name for name in logged if not name.startswith("grad.") and not name.endswith("_accuracy")} <= weighted
    assert {f"grad.{name}" for name in algorithm.networks} <= logged
    watched = {name for row in rows for name in row if name.startswith(("brightness.", "hue."))}
    unpaired = spec.generators if algorithm.data == "unpaired" else ()
    assert {f"brightness.{one}" for one in unpaired} <= watched
    assert watched <= {f"{kind}.{one}" for kind in ("brightness", "hue") for one in unpaired}
    sheets = sorted(path.name.split(".")[1] for path in (run / "samples").glob("000000016.*"))
    assert sheets == sorted(set(algorithm.generators) - {"classify"})
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == 2 * len(sheets)  # after 8 and after 16 images
    if both_ways:
        proofs = export_model(run, ExportOptions(tmp_path / "m.onnx", direction="both")).values()
    else:
        proofs = [i2i.export(run, tmp_path / "m.onnx").spec]
    assert all(one.proof.max_difference < 1e-4 for one in proofs)


def learning(network):
    """The weights of a network that can learn: where it has grown, the image layers of earlier levels cannot."""
    grown = hasattr(network, "growth")
    return [p for name, p in network.named_parameters() if not (grown and name.startswith(("from_", "to_image")))]


def growth():
    """Image numbers of steps in which all weights take part: those of each level, and those behind zeros at first."""
    return (0, 6, 14)


@pytest.mark.parametrize("kind", list(SMALLEST))
def test_every_network_learns_in_its_phase(few_pairs, kind):
    """Steps move every weight of every network; during a phase, no other network requires gradients.

    One does but for networks that grow, whose levels take part one after another, and for those that begin with zeros.
    """
    algorithm = make_algorithm(smallest_config(kind, few_pairs))
    engine = Engine(make_fabric(algorithm.config), algorithm)
    original = algorithm.losses

    def losses(phase, batch, outputs):
        (own,) = (one.trains for one in algorithm.phases if one.name == phase)
        for name, network in engine.networks.items():
            assert all(parameter.requires_grad == (name in own) for parameter in network.parameters())
        return original(phase, batch, outputs)

    algorithm.losses = losses
    before = {n: [p.clone() for p in learning(network)] for n, network in engine.networks.items()}
    batch = make_set(algorithm.data, algorithm.config).load(range(8)).batch
    for images in growth():
        algorithm.begin(images, 16)
        terms = engine.train_step(batch)
    for name, network in engine.networks.items():
        moved = [not torch.equal(one, two) for one, two in zip(before[name], learning(network), strict=True)]
        assert sum(moved) >= len(moved) - 1, name  # a bias before a normalisation may not move
        assert float(terms[f"grad.{name}"]) > 0
    assert {name for phase in algorithm.phases for name in phase.trains} == set(algorithm.networks)


def test_gradient_norms_are_those_of_the_networks(few_pairs):
    config = smallest_config("gan", few_pairs)
    engine = Engine(make_fabric(config), ALGORITHMS["gan"](config))
    terms = engine.train_step({"image": torch.rand(4, 3, 32, 32)})
    for name, network in engine.networks.items():
        squares = sum(float(parameter.grad.square().sum()) for parameter in network.parameters())
        assert float(terms[f"grad.{name}"]) == pytest.approx(squares**0.5, rel=1e-5)


def test_the_discriminator_may_have_its_own_rate(few_pairs):
    config = smallest_config("gan", few_pairs, "optimizer.lr=1e-3", "optimizer.lr_discriminator=4e-3")
    engine = Engine(make_fabric(config), ALGORITHMS["gan"](config))
    engine.train_step({"image": torch.rand(4, 3, 32, 32)}, rate_factor=0.5)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in engine.optimizers.items()}
    assert rates == pytest.approx({"discriminator": 2e-3, "generator": 5e-4})


def test_a_loaded_optimizer_keeps_the_settings_it_was_made_with(few_pairs):
    before, after = (smallest_config("gan", few_pairs, f"optimizer.betas=[{beta},0.9]") for beta in (0.5, 0.25))
    one, two = (Engine(make_fabric(config), ALGORITHMS["gan"](config)) for config in (before, after))
    one.train_step({"image": torch.rand(4, 3, 32, 32)})
    two.load_state_dict(one.state_dict())
    for optimizer in two.optimizers.values():
        assert optimizer.param_groups[0]["betas"] == (0.25, 0.9)
        assert optimizer.state_dict()["state"]


def test_a_process_in_an_allocation_of_slurm_trains_alone(monkeypatch):
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    fabric = make_fabric(tiny_config())
    fabric.launch()
    assert (fabric.world_size, fabric.is_global_zero) == (1, True)


def assert_equal_trees(one, two):
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal_trees(one[key], two[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, list):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_equal_trees(a, b)
    else:
        assert one == two


def test_resuming_a_finished_run_changes_nothing(tmp_path, few_pairs):
    config = tiny_config(data=few_pairs)
    model = i2i.train(config, tmp_path)
    before, log = model.read_bytes(), (tmp_path / "metrics.jsonl").read_text()
    model.unlink()
    assert i2i.train(config, tmp_path, resume=True).read_bytes() == before  # and a lost model file is written again
    assert (tmp_path / "metrics.jsonl").read_text() == log


def test_a_longer_schedule_may_follow(tmp_path, few_pairs):
    i2i.train(tiny_config("schedule.decay_images=0", data=few_pairs), tmp_path)
    i2i.train(tiny_config("schedule.decay_images=0", "schedule.images=24", data=few_pairs), tmp_path, resume=True)
    assert read_json_lines(tmp_path / "metrics.jsonl")[-1]["images"] == 24


def test_a_folder_in_use_and_changed_settings_are_refused(tiny_run, few_pairs, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in tiny_run.rglob("*"))
    with pytest.raises(UsageError, match="resume=True"):
        i2i.train(tiny_config(data=few_pairs), tiny_run)
    with pytest.raises(ConfigError, match=r"optimizer\.lr .*0\.0004.* 0\.1"):
        i2i.train(tiny_config("optimizer.lr=0.1", data=few_pairs), tiny_run, resume=True)
    with pytest.raises(ConfigError, match=r"crop_px is 20.* 16"):
        i2i.train(tiny_config("data.crop_px=20", "data.resize_px=20", data=few_pairs), tmp_path / "new")
    with pytest.raises(ConfigError, match=r"crop_px is 16.* 96 px.* 2"):
        i2i.train(tiny_config("discriminator.layers=5", data=few_pairs), tmp_path / "new")
    with pytest.raises(ConfigError, match="fp16"):
        i2i.train(tiny_config("train.precision=fp16", data=few_pairs), tmp_path / "new")
    with pytest.raises(UsageError, match="cuda"):
        i2i.train(tiny_config("train.device=cuda", data=few_pairs), tmp_path / "new")
    with pytest.raises(DataError, match="nowhere"):
        i2i.train(tiny_config(data="nowhere"), tmp_path / "new")
    with pytest.raises(DataError, match="80 px"):
        i2i.train(tiny_config("data.resize_px=null", "data.crop_px=80", data=few_pairs), tmp_path / "new")
    assert not (tmp_path / "new").exists()  # nothing is written before all is checked
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tiny_run.rglob("*"))


def test_only_a_run_is_resumed_and_only_on_its_data(tiny_run, few_pairs, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "metrics.jsonl").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=str(tmp_path)):
        i2i.train(tiny_config(data=few_pairs), tmp_path / "notes", resume=True)
    assert (tmp_path / "notes" / "metrics.jsonl").read_text(encoding="utf-8") == "mine"
    shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(ConfigError, match="8 pairs"):
        i2i.train(tiny_config("schedule.images=24", data=LINEART), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match=r"12 images.* 16"):
        i2i.train(tiny_config("schedule.images=12", data=few_pairs), tmp_path / "run", resume=True)
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # killed before its first checkpoint
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        i2i.train(tiny_config("optimizer.lr=0.1", data=few_pairs), tmp_path / "run", resume=True)


def test_a_run_on_moved_data_resumes_and_says_so(tiny_run, few_pairs, tmp_path, capsys):
    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.copytree(few_pairs, tmp_path / "moved")
    i2i.train(tiny_config("schedule.images=20", data=tmp_path / "moved"), tmp_path / "run", resume=True)
    error = capsys.readouterr().err
    assert "data.path" in error
    assert re.search(r"schedule\.images .*16.* 20", error)


def test_kornia_wants_pictures_of_one_size(tmp_path):
    for k in range(2):
        save(tmp_path / "trainA" / f"{k}.png", 20 + k, 30)
        save(tmp_path / "trainB" / f"{k}.png", 20 + k, 30)
    with pytest.raises(ConfigError, match="kornia"):
        i2i.train(tiny_config("data.augment=kornia", "train.batch=2", data=tmp_path), tmp_path / "run")


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped"])
def test_a_damaged_checkpoint_is_noticed(tiny_run, tmp_path, damage):
    content = list_checkpoints(tiny_run / "checkpoints")[-1].read_bytes()
    (tmp_path / "000000016.pt").write_bytes(damaged(content, damage))
    with pytest.raises(ModelError, match=r"000000016\.pt"):
        load_checkpoint(tmp_path / "000000016.pt")


@pytest.mark.parametrize("changes", [[], ["log.every_images=16", "log.checkpoint_every_images=4"]], ids=["log", "save"])
def test_non_finite_losses_stop_the_run(tmp_path, few_pairs, changes):
    with pytest.raises(NonFiniteError, match="no checkpoint") as error:
        i2i.train(tiny_config("optimizer.lr=1e30", *changes, data=few_pairs), tmp_path)
    assert error.value.exit_code == 6
    assert not (tmp_path / "model.safetensors").exists()
    assert list_checkpoints(tmp_path / "checkpoints") == []


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, BestEffort(), epoch_images=3)
    for images in (4, 8, 12):
        log.write(images, 1.0, "train", {"G_L1": 1 / 3})
    with log.path.open("a", encoding="utf-8") as file:
        file.write('5\nnull\n{"split": "train"}\n{"images": "4"}\n')  # JSON, but no rows
    MetricsLog(tmp_path / "metrics.jsonl", 8, BestEffort())
    rows = read_json_lines(tmp_path / "metrics.jsonl")
    assert [row["images"] for row in rows] == [4, 8]
    assert json.dumps(rows[0]) == '{"images": 4, "epochs": 1.33333, "seconds": 1.0, "split": "train", "G_L1": 0.333333}'


def test_the_rate_falls_once_an_epoch_as_published():
    schedule = Schedule(total_images=500, decay_images=300, epoch_images=100)
    factors = [schedule.factor(images) for images in (0, 99, 199, 200, 299, 300, 499)]
    assert factors == pytest.approx([1, 1, 1, 3 / 4, 3 / 4, 2 / 4, 1 / 4])
    constant = Schedule(500, 0, 100)
    assert {constant.factor(images) for images in range(0, 500, 50)} == {1.0}


def test_a_ramp_of_the_rate_is_a_further_factor(few_pairs, tmp_path):
    """In the middle of the decay, too; each step has its own, and a resumed run keeps it."""
    ramp = "schedule.lr_ramp={from: 1, to: 0.25, over_images: 400}"
    settings = tiny_config("schedule.images=500", "schedule.decay_images=300", ramp)
    schedule = resolve_schedule(settings.schedule, 100)
    factors = [schedule.factor(images) for images in (0, 100, 200, 400)]
    assert factors == pytest.approx([1, 0.8125, 3 / 4 * 0.625, 1 / 4 * 0.25])
    config = smallest_config("gan", few_pairs, ramp)
    i2i.train(config, tmp_path / "run")
    values = config.model_dump(mode="json") | {"schedule": {**config.schedule.model_dump(), "lr_ramp": None}}
    with pytest.raises(ConfigError, match=r"schedule\.lr_ramp"):
        i2i.train(Config.model_validate(values), tmp_path / "run", resume=True)


def test_schedules_resolve_to_images(few_pairs):
    settings = tiny_config(
        "schedule.images=null", "schedule.decay_images=null", "schedule.epochs=6", "schedule.decay_epochs=2"
    )
    assert resolve_schedule(settings.schedule, 50) == (300, 100, 50, None)
    with pytest.raises(ConfigError, match=r"17 .* 16.*schedule\.decay_images.* 8"):
        tiny_config("schedule.decay_images=17")
    mixed = ("schedule.images=null", "schedule.epochs=1", "schedule.decay_images=51")  # known once the data are
    with pytest.raises(ConfigError, match=r"51 .* 50.*schedule\.decay_images.* 25"):
        resolve_schedule(tiny_config(*mixed).schedule, 50)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [(["train.batch=1"], "image"), (["train.batch=4"], "running"), (["train.norm_statistics=image"], "image")],
)
def test_norm_statistics_follow_the_batch(changes, expected):
    assert norm_statistics(tiny_config(*changes)) == expected


def test_norm_statistics_stay_when_a_run_goes_on_with_another_batch(tmp_path, few_pairs):
    changes = ["train.batch=1", "schedule.decay_images=0"]
    for images, more in [(4, []), (8, ["train.batch=4"]), (12, ["train.batch=4"])]:
        config = tiny_config(*changes, *more, f"schedule.images={images}", data=few_pairs)
        i2i.train(config, tmp_path, resume=True, allow_config_change=True)
        assert i2i.load(tmp_path).spec.norm_statistics == "image"
    config = tiny_config(*changes, "schedule.images=16", "train.norm_statistics=running", data=few_pairs)
    i2i.train(config, tmp_path, resume=True, allow_config_change=True)
    assert i2i.load(tmp_path).spec.norm_statistics == "running"


def test_bf16_trains_and_weights_stay_float32(tmp_path, few_pairs):
    model = i2i.train(tiny_config("train.precision=bf16", data=few_pairs), tmp_path)
    assert {tensor.dtype for tensor in load_file(model).values() if tensor.is_floating_point()} == {torch.float32}


def test_sixteen_bits_grey_to_alpha(tmp_path, capsys):
    """Laboratory data: 16-bit grey in, four channels out, a different size for each pair, no val split."""
    for k in range(4):
        save(tmp_path / "data" / "trainA" / f"{k}.png", 20 + k, 30, 1, np.uint16, seed=k)
        save(tmp_path / "data" / "trainB" / f"{k}.tif", 20 + k, 30, 4, seed=k)
    config = tiny_config(
        "data.direction=A2B", "data.channels_a=1", "data.channels_b=4", "generator.name=unet", data=tmp_path / "data"
    )
    i2i.train(config, tmp_path / "run")
    assert "val split" in capsys.readouterr().err
    model = i2i.load(tmp_path / "run")
    assert model.generator.in_meaning == "grey"
    assert model.generator.out_meaning == "rgba"
    output = model(tmp_path / "data" / "trainA" / "3.png")
    assert (output.array.shape, output.array.dtype) == ((23, 30, 4), np.uint16)  # in the depth of the input


def test_resnet_trains_too(tmp_path, few_pairs):
    path = tmp_path / "resnet.yaml"
    values = tiny_config(data=few_pairs).model_dump(mode="json")
    values["generator"] = {"name": "resnet", "blocks": 1, "width": 2, "upsample": "resize"}
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    i2i.train(i2i.load_config(path), tmp_path / "run")
    assert i2i.load(tmp_path / "run").generator.network == "resnet"


def test_meter_means_only_what_was_added():
    meter = Meter()
    meter.add({"D": torch.tensor(1.0), "G": torch.tensor(4.0)})
    meter.add({"D": torch.tensor(3.0)})
    assert meter.read() == {"D": 2.0, "G": 4.0}
    assert meter.read() == {}
