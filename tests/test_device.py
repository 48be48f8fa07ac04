"""What must hold on every device: `I2I_TEST_DEVICE=cuda tools/test --all device` runs this on a GPU.

CI runs it on the CPU, less what other tests show there.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.data.sets import make_set, with_facts
from i2i.errors import ConfigError
from i2i.exporting.graph import Doubling
from i2i.files import read_json_lines
from i2i.images import read_image
from i2i.machine import why_no_torch_device
from i2i.models.modelfile import load_generator, read_spec
from i2i.networks import GENERATORS
from i2i.networks.big_maps import freeze, in_strips
from i2i.networks.layers import set_norm_statistics
from i2i.runtime.translator import Translator
from i2i.training.engine import Engine
from i2i.training.estimate import estimate, find_data
from i2i.training.fabric import make_fabric
from i2i.training.graphs import WARM_UP
from tests.conftest import LINEART, SMALLEST, TEST_DEVICE, WITH_DISCRIMINATOR, smallest_config, tiny_config

pytestmark = pytest.mark.slow
ON_DEVICE = (f"train.device={TEST_DEVICE}", "data.workers=0")
on_gpu = pytest.mark.skipif(TEST_DEVICE == "cpu", reason="needs a GPU: set I2I_TEST_DEVICE")
PICTURES = sorted((LINEART / "test").glob("*.png"))[:6]


@pytest.fixture(scope="module")
def run(tmp_path_factory, few_pairs):
    """A short training on the device."""
    assert why_no_torch_device(TEST_DEVICE) is None
    out = tmp_path_factory.mktemp("device") / "run"
    train(few_pairs, out, "schedule.images=256", "optimizer.lr=2e-3")
    return out


def config(data, *changes):
    return tiny_config("generator.width=8", "schedule.decay_images=0", *ON_DEVICE, *changes, data=data)


def train(data, out, *changes, **options):
    i2i.train(config(data, *changes), out, **options)
    return weights(out)


def weights(out):
    """The weights of a run's model, by name."""
    path = out / "model.safetensors"
    return load_generator(path, read_spec(path), "B2A").state_dict()


def distance(one, two):
    """The largest difference of two sets of weights, relative to the largest weight of its tensor."""
    return max(float((one[name] - two[name]).abs().max() / one[name].abs().max().clamp(min=1e-9)) for name in one)


def losses(out):
    return [row["G_L1"] for row in read_json_lines(out / "metrics.jsonl") if row["split"] == "train"]


@pytest.mark.parametrize("kind", ["pix2pix", "gan"] if TEST_DEVICE == "cpu" else SMALLEST)
def test_every_algorithm_trains(kind, few_pairs, tmp_path):
    path = i2i.train(smallest_config(kind, few_pairs, *ON_DEVICE), tmp_path / "run")
    assert read_spec(path).images_seen == 16
    rows = [row for row in read_json_lines(path.parent / "metrics.jsonl") if row["split"] == "train"]
    assert all(np.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))


@pytest.mark.parametrize(
    "changes",
    [
        ["train.precision=bf16"],
        ["train.precision=bf16", "train.channels_last=true"],
        ["train.precision=fp16"],
        ["train.channels_last=false"],
        ["train.activation_checkpointing=true"],
        ["train.accumulate=2"],
        ["train.ema_half_life_images=32"],
        ["data.augment=kornia", "data.colour_jitter=0.3"],
        ["data.workers=2"],
        ["data.workers=2", "data.cache=ram"],
        ["loss.adversarial=wasserstein", "loss.penalty=gradient", "discriminator.norm=instance"],
        ["loss.penalty=r1", "loss.penalty_every_steps=2", "discriminator.norm=layer", "train.precision=bf16"],
        ["discriminator.spectral_norm=true", "loss.history=3"],
        ["discriminator.minibatch_discrimination=l1"],
        ["loss.diffaugment=[colour, cutout]", "loss.adaptive={target: 0, over_images: 100}"],
        ["train.keep=best"],
        ["loss.unrolled_steps=1"],
        ["discriminator={name: autoencoder, levels: 2, width: 8, norm: none}", "loss.adversarial=margin"],
        ["generator.upsample=resize"],
        ["train.cuda_graphs=true"],
        ["train.cuda_graphs=false"],
    ],
    ids=" ".join,
)
def test_settings_train_and_learn(changes, few_pairs, tmp_path):
    if "train.precision=fp16" in changes and TEST_DEVICE == "cpu":
        pytest.skip("a CPU does not train in fp16")
    train(few_pairs, tmp_path / "run", "schedule.images=64", "train.batch=2", "optimizer.lr=2e-3", *changes)
    found = losses(tmp_path / "run")
    assert found[-1] < 0.9 * found[0], found


@on_gpu
def test_compiled_networks_train(few_pairs, tmp_path):
    """As others do, up to rounding, by their losses: Adam makes whole steps of gradients that are rounding alone."""
    for name in ("true", "false"):
        train(few_pairs, tmp_path / name, f"train.compile={name}")
    assert losses(tmp_path / "true") == pytest.approx(losses(tmp_path / "false"), rel=0.02)
    train(few_pairs, tmp_path / "other", "train.seed=1")
    assert losses(tmp_path / "other") != pytest.approx(losses(tmp_path / "false"), rel=0.02)


def test_resuming_is_exact(few_pairs, tmp_path):
    """On a GPU, where sums have no fixed order and steps are recorded anew, far nearer than another seed."""
    straight = train(few_pairs, tmp_path / "straight", "schedule.images=32")
    again = train(few_pairs, tmp_path / "again", "schedule.images=32")
    train(few_pairs, tmp_path / "resumed", "schedule.images=16")
    resumed = train(few_pairs, tmp_path / "resumed", "schedule.images=32", resume=True)
    other = train(few_pairs, tmp_path / "other", "schedule.images=32", "train.seed=1")
    found = {name: distance(straight, one) for name, one in (("again", again), ("resumed", resumed), ("other", other))}
    print(f"\nresume on {TEST_DEVICE}: {found}")
    assert found["resumed"] == 0 or TEST_DEVICE != "cpu", found
    assert found["other"] > 4 * max(found["resumed"], found["again"], 0.01), found


@pytest.mark.parametrize("devices", [(TEST_DEVICE, "cpu"), ("cpu", TEST_DEVICE)], ids=lambda devices: "-".join(devices))
def test_a_run_changes_its_device(devices, few_pairs, tmp_path):
    first, then = (f"train.device={device}" for device in devices)
    train(few_pairs, tmp_path / "run", "schedule.images=16", first)
    train(few_pairs, tmp_path / "run", "schedule.images=32", then, resume=True)
    assert read_spec(tmp_path / "run" / "model.safetensors").images_seen == 32


def test_a_checkpoint_of_graphs_resumes_without_them(few_pairs, tmp_path):
    graphs = ["train.cuda_graphs=true", "train.batch=1"]
    train(few_pairs, tmp_path / "run", "schedule.images=16", *graphs)
    usual = ["train.cuda_graphs=false", "train.batch=1"]
    resumed = train(few_pairs, tmp_path / "run", "schedule.images=32", *usual, resume=True)
    straight = train(few_pairs, tmp_path / "straight", "schedule.images=32", *usual)
    other = train(few_pairs, tmp_path / "other", "schedule.images=32", "train.seed=1", *usual)
    print(f"\nrecorded, then not, on {TEST_DEVICE}: {distance(straight, resumed)}; {distance(straight, other)}")
    assert distance(straight, resumed) < distance(straight, other) / 2


RECORDABLE = [kind for kind, preset in SMALLEST.items() if ALGORITHMS[i2i.load_config(preset).algorithm].recordable]


@on_gpu
@pytest.mark.parametrize("kind", RECORDABLE)
def test_graphs_compute_what_steps_compute(kind, few_pairs):
    """The same draws and losses over ten steps, three of them before the recording; another rate is a control."""
    usual = [*ON_DEVICE, "train.tf32=false", *(["loss.history=0"] if kind in WITH_DISCRIMINATOR else [])]
    found = []
    for change in ("train.cuda_graphs=false", "train.cuda_graphs=true"):
        settings = resolve(smallest_config(kind, few_pairs, change, *usual))
        data = make_set(ALGORITHMS[settings.algorithm].data, settings)
        settings = with_facts(settings, data)
        torch.manual_seed(0)
        engine = Engine(make_fabric(settings), ALGORITHMS[settings.algorithm](settings))
        crop = settings.data.crop_px
        batch = {
            name: (one[..., :crop, :crop] if one.dim() == 4 else one).to(TEST_DEVICE)
            for name, one in data.load(range(4)).batch.items()
        }
        terms = [engine.train_step(batch, rate_factor=1.0 - 0.09 * step) for step in range(10)]
        found.append([{name: float(value) for name, value in one.items()} for one in terms])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4, abs=1e-5)
    for usual, replayed in zip(*found, strict=True):
        assert replayed == pytest.approx(usual, rel=0.05, abs=0.02)
    assert found[1][4] != found[1][9]


@on_gpu
def test_a_step_that_waits_for_the_device_is_refused(few_pairs, monkeypatch):
    settings = resolve(config(few_pairs, "train.cuda_graphs=true"))
    engine = Engine(make_fabric(settings), ALGORITHMS[settings.algorithm](settings))
    original = engine.algorithm.losses

    def waiting(*inputs):
        terms = original(*inputs)
        assert all(float(term) < 1e9 for term in terms.values())
        return terms

    monkeypatch.setattr(engine.algorithm, "losses", waiting)
    batch = {name: torch.rand(4, 3, 16, 16, device=TEST_DEVICE) for name in "ab"}
    for _ in range(WARM_UP):
        engine.train_step(batch)
    with pytest.raises(ConfigError, match=r"train\.cuda_graphs"):
        engine.train_step(batch)
    assert torch.rand(4, device=TEST_DEVICE).std() > 0  # draws work again


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_is_exported_and_proves_itself(precision, run, tmp_path):
    spec = i2i.export(run, tmp_path / "model.onnx", precision=precision).spec
    assert spec.proof is not None
    print(f"\nexport {precision}: {spec.proof}")


def pixels(device, model, **options):
    """What a model makes of the pictures on a device."""
    translator = Translator.open(model, device=device, backend="torch")
    assert translator.backend.device == device
    return [np.asarray(translator.translate(read_image(path)[:, 64:])).astype(int) for path in PICTURES]


def test_pictures_are_those_of_the_cpu(run):
    here, there = pixels(TEST_DEVICE, run), pixels("cpu", run)
    worst = max(int(np.abs(one - two).max()) for one, two in zip(here, there, strict=True))
    control = int(np.abs(there[0] - there[1]).max())
    print(f"\ntranslate on {TEST_DEVICE} and cpu: {worst} levels; two pictures: {control}")
    assert worst <= 1 < control


def test_pictures_of_a_label_are_those_of_the_cpu(few_pairs, tmp_path):
    train(few_pairs, tmp_path / "run", "schedule.images=64", f"data.labels={few_pairs / 'labels.csv'}")
    picture = read_image(PICTURES[0])[:, 64:]
    models = [i2i.load(tmp_path / "run", device=device, labels=["flat"]) for device in (TEST_DEVICE, "cpu")]
    here, there = (model(picture).astype(int) for model in models)
    assert np.abs(here - there).max() <= 1


def test_samples_are_those_of_the_cpu(noise_model):
    from i2i.runtime.generator import ImageGenerator

    made = []
    for device in (TEST_DEVICE, "cpu"):
        generator = ImageGenerator.open(noise_model, device=device)
        made.append(np.asarray(generator.generate(generator.draw(range(4)))).astype(float))
    print(f"\ngenerate on {TEST_DEVICE} and cpu: {np.abs(made[0] - made[1]).max()}")
    assert np.abs(made[0] - made[1]).max() <= 1


def test_strips_and_fixed_statistics_on_the_device():
    torch.manual_seed(0)
    network = GENERATORS["unet"](depth=4, width=8).to(TEST_DEVICE).eval()
    set_norm_statistics(network, "image")
    image = torch.rand(1, 3, 512, 4096, device=TEST_DEVICE) * 2 - 1
    with torch.inference_mode():
        whole, strips = network(image), in_strips(network)(image)
        frozen, other = (freeze(network, one)(image) for one in (image, image[..., :16, :16] * 0.1))
    print(f"\nstrips {float((whole - strips).abs().max()):.1e}, frozen {float((whole - frozen).abs().max()):.1e}")
    assert torch.allclose(whole, strips, atol=2e-3)
    assert torch.allclose(whole, frozen, atol=2e-3)
    assert not torch.allclose(whole, other, atol=2e-3)


@pytest.mark.parametrize("pixels_px", [4, 64])
def test_transposed_convolutions_as_convolutions(pixels_px):
    """The form of exported files, on the device, in double precision."""
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(8, 6, 4, 2, 1).double().to(TEST_DEVICE)
    image = torch.randn(2, 8, pixels_px, pixels_px, device=TEST_DEVICE, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(layer(image), Doubling(layer)(image), atol=1e-12)


def test_an_estimate_tells_the_memory(few_pairs):
    settings = resolve(config(few_pairs))
    lines = list(estimate(settings, find_data(settings)))
    assert any("GiB of memory" in line for line in lines)
    assert any(TEST_DEVICE in line for line in lines)


@on_gpu
def test_a_batch_too_large_ends_with_5_and_names_it(few_pairs, tmp_path):
    words = ["train", "pix2pix", "--data", few_pairs, "--out", tmp_path / "run", "--device", TEST_DEVICE]
    changes = ["schedule.epochs=null", "schedule.decay_epochs=null", "schedule.images=64", "train.batch=64"]
    changes += ["data.workers=0"]
    changes += ["generator.depth=4", "generator.width=192", "data.resize_px=2048", "data.crop_px=2048"]
    command = [sys.executable, "-m", "i2i", *map(str, words), *(word for one in changes for word in ("--set", one))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr[-1500:])
    assert done.returncode == 5
    assert "train.batch" in done.stderr
    assert "Traceback" not in done.stderr


@on_gpu
def test_two_trainings_share_a_gpu(few_pairs, tmp_path):
    words = ["train", "lineart", "--data", str(few_pairs), "--device", TEST_DEVICE, "--set", "schedule.images=64"]
    command = [sys.executable, "-m", "i2i", *words, "--set", "schedule.decay_images=0", "--set", "data.workers=0"]
    both = [subprocess.Popen([*command, "--out", str(tmp_path / name)]) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
