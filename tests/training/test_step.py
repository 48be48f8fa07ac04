"""One step under each setting: it stops before a broken update, and micro-batches and clipping work as stated."""

import lightning_fabric
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.config.settings import Config
from i2i.data.sets import make_set
from i2i.errors import ConfigError, NonFiniteError, UsageError
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric, set_tf32
from i2i.training.finite_check import MOST_SKIPPED
from i2i.training.graphs import records_steps
from tests.conftest import make_algorithm, smallest_config, tiny_config

NO_DROPOUT = "generator.dropout=0"


def make_engine(config, fabric=None):
    torch.manual_seed(config.train.seed)
    return Engine(fabric or make_fabric(config), ALGORITHMS[config.algorithm](config))


def random_batch(images, names=("a", "b"), px=16):
    draw = torch.Generator().manual_seed(7)
    return {name: torch.rand(images, 3, px, px, generator=draw) * 2 - 1 for name in names}


def weights(engine):
    return {name: {key: one.clone() for key, one in net.named_parameters()} for name, net in engine.networks.items()}


def equal(one, two):
    return all(torch.equal(one[name][key], two[name][key]) for name in one for key in one[name])


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_a_non_finite_loss_stops_before_the_update(phase):
    """A later phase does not update from the broken one's gradients."""
    engine = make_engine(tiny_config())
    engine.train_step(random_batch(4))
    original, before = engine.algorithm.losses, weights(engine)

    def losses(name, batch, outputs):
        terms = original(name, batch, outputs)
        return {key: term / 0 if name == phase else term for key, term in terms.items()}

    engine.algorithm.losses = losses
    with pytest.raises(NonFiniteError, match=r"_real|G_GAN"):
        engine.train_step(random_batch(4))
    changed = [name for name in before if not equal({name: before[name]}, {name: weights(engine)[name]})]
    assert changed == ([] if phase == "discriminator" else ["discriminator"])  # which had its turn before
    assert all(torch.isfinite(one).all() for networks in weights(engine).values() for one in networks.values())


def test_a_non_finite_gradient_stops_before_the_update():
    engine = make_engine(tiny_config())
    before = weights(engine)
    engine.networks["discriminator"].head.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NonFiniteError, match=r"^grad\.discriminator: "):
        engine.train_step(random_batch(4))
    assert equal(before, weights(engine))


def test_the_run_names_loss_step_and_pictures_and_keeps_a_finite_checkpoint(tmp_path, few_pairs, monkeypatch):
    original, calls = Pix2Pix.losses, []

    def losses(self, phase, batch, outputs):
        calls.append(phase)
        terms = original(self, phase, batch, outputs)
        return terms | {"G_L1": terms["G_L1"] * float("inf")} if len(calls) == 6 else terms

    monkeypatch.setattr(Pix2Pix, "losses", losses)
    with pytest.raises(NonFiniteError, match=r"^Step 3, images 9 to 12: G_L1, grad\.generator: ") as error:
        i2i.train(tiny_config(data=few_pairs), tmp_path)
    assert error.value.exit_code == 6
    assert len(str(error.value).splitlines()) <= 3
    assert str(error.value).count(str(few_pairs / "train")) == 4  # the pictures of this batch
    (newest,) = list_checkpoints(tmp_path / "checkpoints")
    networks = load_checkpoint(newest)["stepper"]["networks"].values()
    assert all(tensor.isfinite().all() for network in networks for tensor in network.values())


@pytest.fixture
def scaled():
    """A step with the scaler of mixed fp16 as on a GPU, run on the CPU; products stay fp32."""
    precision = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**8))
    precision._desired_input_dtype = torch.float32
    precision.forward_context = torch.enable_grad
    return lambda *changes: make_engine(
        tiny_config(*changes), lightning_fabric.Fabric(accelerator="cpu", plugins=precision)
    )


def test_scaled_gradients_are_the_same(scaled):
    changes = (NO_DROPOUT, "optimizer.clip_norm=0.5")
    one, two = make_engine(tiny_config(*changes)), scaled(*changes)
    terms = [engine.train_step(random_batch(4)) for engine in (one, two)]
    assert {k: float(v) for k, v in terms[0].items()} == pytest.approx({k: float(v) for k, v in terms[1].items()})
    ours, theirs = weights(one), weights(two)
    assert all(torch.allclose(ours[n][k], theirs[n][k], atol=1e-6) for n in ours for k in ours[n])


def test_a_scale_too_large_skips_the_update_and_is_counted(scaled):
    engine = scaled()
    engine.train_step(random_batch(4))
    engine._scaler.update(new_scale=1e38)  # overflows in the generator, whose loss is above 10
    before = weights(engine)
    terms = engine.train_step(random_batch(4))
    assert equal({"generator": before["generator"]}, weights(engine))
    assert not equal({"discriminator": before["discriminator"]}, weights(engine))
    assert set(terms) >= {"grad.discriminator", "G_GAN"}
    assert "grad.generator" not in terms
    assert engine.finite_check.state_dict() == {"skipped_steps": 1, "in_a_row": 1}
    while engine.finite_check.in_a_row:  # the scale falls until it fits
        engine.train_step(random_batch(4))
    assert not equal({"generator": before["generator"]}, weights(engine))
    other = scaled()
    other.load_state_dict(engine.state_dict())
    assert other.finite_check.state_dict() == engine.finite_check.state_dict()
    other.load_state_dict(make_engine(tiny_config()).state_dict())  # of a run that was fp32, and is fp16 from now on
    other.train_step(random_batch(4))


def test_a_gradient_broken_at_any_scale_stops_after_25_steps(scaled):
    engine = scaled()
    engine.networks["generator"].down[0][1].weight.register_hook(lambda gradient: gradient * float("nan"))
    for _ in range(MOST_SKIPPED - 1):
        engine.train_step(random_batch(2))
    with pytest.raises(NonFiniteError, match=r"grad\.generator: .*fp16, 25 steps"):
        engine.train_step(random_batch(2))


@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan"])
def test_parts_of_a_batch_are_the_whole(kind, float64):
    """Micro-batches of two, two and one equal five at once if no layer mixes pictures: phases in turn, D before G."""
    norms = ["generator.norm=instance", "discriminator.norm=instance", "generator.dropout=0"]
    engines = [
        make_engine(smallest_config(kind, ".", *norms, "data.crop_px=32", "data.resize_px=32", *changes))
        for changes in (["train.batch=5"], ["train.batch=2", "train.accumulate=3"])
    ]
    for _ in range(2):
        terms = [{k: float(v) for k, v in one.train_step(random_batch(5, px=32)).items()} for one in engines]
        assert terms[0] == pytest.approx(terms[1], rel=1e-6)  # accuracies are float32
    ours, theirs = map(weights, engines)
    assert all(torch.allclose(ours[n][k], theirs[n][k], rtol=0, atol=1e-9) for n in ours for k in ours[n])


def test_a_part_keeps_almost_no_memory_until_its_turn():
    """A waiting micro-batch keeps its input, not its activations; dropout and statistics count once."""
    held = []
    for accumulate in (1, 2):
        config = tiny_config("data.crop_px=64", "data.resize_px=64", f"train.accumulate={accumulate}")
        engine = make_engine(config)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one, kept=kept: kept.append(one.numel()) or one, _same):
            outputs = engine.algorithm.forward(random_batch(4, px=64))
        held.append(sum(kept))
        outputs["fake"].sum().backward()
        assert int(engine.networks["generator"].down[1][2].num_batches_tracked) == 1
    assert held[1] < held[0] / 5


@pytest.mark.parametrize("generator", ["unet", "resnet", "modern_unet"])
def test_activation_checkpointing_is_the_same_training_with_less_kept(generator, tmp_path):
    """Bit for bit: weights, running statistics, counts and random state after two steps, with dropout."""
    values = tiny_config("data.crop_px=64", "data.resize_px=64").model_dump(mode="json")
    if generator == "resnet":
        values["generator"] = {"name": "resnet", "blocks": 3, "width": 2, "norm": "batch", "dropout": 0.5}
    elif generator == "modern_unet":
        values["generator"] = {"name": "modern_unet", "depth": 3, "width": 2, "convolutions": 2, "blocks": 3}
    states, held = [], []
    for on in (False, True):
        values["train"]["activation_checkpointing"] = on
        engine = make_engine(Config.model_validate(values))
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one, kept=kept: kept.append(one.numel()) or one, _same):
            engine.algorithm.forward(random_batch(4, px=64))
        held.append(sum(kept))
        for _ in range(2):
            engine.train_step(random_batch(4, px=64))
        states.append(engine.state_dict())
    for name, network in states[0]["networks"].items():
        assert all(torch.equal(tensor, states[1]["networks"][name][key]) for key, tensor in network.items()), name
    assert torch.equal(*(state["ranks"][0]["torch_rng"] for state in states))
    assert held[1] < held[0] / 2


def _same(tensor):
    return tensor


@pytest.mark.slow
def test_compiled_networks_train_alike(few_pairs):
    """A GAN's of points, which compile in a tenth of a U-Net's time; the device tests compile that."""
    configs = [
        smallest_config("ring", few_pairs, "train.accumulate=2", f"train.compile={on}") for on in ("false", "true")
    ]
    engines = [make_engine(config) for config in configs]
    batch = make_set("images", configs[0]).load(range(8)).batch
    for step in range(2):
        terms = []
        for engine in engines:
            torch.manual_seed(step)
            terms.append({name: float(value) for name, value in engine.train_step(batch).items()})
        assert terms[0] == pytest.approx(terms[1], rel=1e-3)


def test_a_machine_that_cannot_compile_is_told(monkeypatch):
    def fail(function):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(UsageError, match=r"train\.compile") as error:
        make_fabric(tiny_config("train.compile=true"))
    assert "false" in str(error.value)


def test_an_image_pool_is_refused_where_steps_are_recorded():
    with pytest.raises(ConfigError, match=r"cuda_graphs.*loss\.history"):
        make_engine(tiny_config("loss.history=3", "train.cuda_graphs=true"))
    make_engine(tiny_config("loss.history=0", "train.cuda_graphs=true"))


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ([], True),
        (["train.precision=bf16", "train.compile=true"], True),
        (["train.cuda_graphs=false"], False),
        (["loss.history=3"], False),
        (["loss.unrolled_steps=1"], False),
        (["loss.diffaugment=[colour]", "loss.adaptive={}"], True),
        (["train.precision=fp16"], False),
        (["train.accumulate=2"], False),
        (["train.devices=2"], False),
        (["train.activation_checkpointing=true"], False),
    ],
    ids=str,
)
def test_steps_are_recorded_where_they_can_be(changes, recorded, monkeypatch):
    algorithm = make_algorithm(tiny_config(*changes))
    assert records_steps(algorithm, torch.device("cuda")) == recorded
    assert not records_steps(algorithm, torch.device("cpu"))
    monkeypatch.setattr(type(algorithm), "recordable", False)
    assert not records_steps(algorithm, torch.device("cuda"))


def test_clipping_bounds_each_network_and_logs_what_it_was():
    free, bound = (
        make_engine(tiny_config(NO_DROPOUT)),
        make_engine(tiny_config(NO_DROPOUT, "optimizer.clip_norm=0.01")),
    )
    free_terms, terms = free.train_step(random_batch(4)), bound.train_step(random_batch(4))
    assert float(terms["grad.discriminator"]) == float(free_terms["grad.discriminator"]) > 0.01
    for network in bound.networks.values():
        norm = torch.nn.utils.get_total_norm([one.grad for one in network.parameters() if one.grad is not None])
        assert float(norm) == pytest.approx(0.01, rel=1e-3)


def test_tf32_is_a_switch():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for allowed in (True, False):
            set_tf32(allowed)
            assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == allowed
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
