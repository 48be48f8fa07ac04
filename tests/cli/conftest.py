"""What the tests of the command line share."""

import shutil

import numpy as np
import pytest
import yaml

import i2i
from i2i.interop.importing import import_weights
from i2i.models.modelfile import save_tensors
from tests.conftest import ORACLES, save, smallest_config, tiny_config
from tests.videos import write_clip


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory, few_pairs):
    """A run of a tiny VAE."""
    out = tmp_path_factory.mktemp("vae") / "run"
    i2i.train(smallest_config("vae", few_pairs), out)
    return out


@pytest.fixture
def desk(
    desk,
    tiny_run,
    two_way_run,
    noise_model,
    named_model,
    noise_onnx,
    point_model,
    labelled_model,
    vae_run,
    guided_model,
    style_model,
    style_onnx,
    cppn_model,
    texture_model,
):
    """The desk, with small versions of everything else that the examples name."""
    shutil.copytree("D", "datasets/lineart")
    shutil.copytree("runs/mine", "runs/lineart")
    shutil.rmtree("runs/mine")
    shutil.copy(tiny_run / "model.safetensors", ".")
    shutil.copytree(two_way_run, "runs/horses")
    shutil.copytree(noise_model.parent, "runs/faces", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(noise_onnx, "faces.onnx")
    shutil.copytree(point_model.parent, "runs/ring")
    shutil.copytree(named_model.parent, "runs/clothes")
    shutil.copytree(labelled_model.parent, "runs/things", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copytree(vae_run, "runs/vae")
    shutil.copytree(guided_model.parent, "runs/ppgn")
    shutil.copytree(style_model.parent, "runs/styles", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(style_onnx, "styles.onnx")
    for name, made in (("shapes", cppn_model), ("relief", texture_model)):
        shutil.copytree(made.parent, f"runs/{name}", ignore=shutil.ignore_patterns("*.onnx"))
    for name, count in (("latents.npy", 1), ("both.npy", 2)):
        np.save(name, np.zeros((count, 4), np.float32))
    (desk / "bred").mkdir()
    np.save("bred/000.npy", np.zeros((9, 16), np.float32))
    shutil.copytree("D", "data/hues")
    (desk / "runs" / "hues").mkdir()
    shutil.copy("D/first.safetensors", "runs/hues/model.safetensors")
    shutil.copy(ORACLES / "unet_128_batch.pth", "latest_net_G.pth")
    for way in "AB":
        shutil.copy(ORACLES / "resnet_6_instance.pth", f"latest_net_G_{way}.pth")
    summer = import_weights([ORACLES / "resnet_6_instance.pth"])
    save_tensors(desk / "summer.safetensors", summer.spec, summer.tensors)
    save(desk / "photo.jpg", 40, 50)
    write_clip(desk / "clip.mp4")
    for name in ("1.png", "2.png"):
        save(desk / "frames" / name, 40, 50)
    for name, seed in (("a.png", 1), ("b.png", 2)):
        save(desk / "pictures" / name, 20, 20, seed=seed)
    (desk / "mine.yaml").write_text(yaml.safe_dump(tiny_config().model_dump(mode="json")), encoding="utf-8")
    return desk
