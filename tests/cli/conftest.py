"""What the tests of the command line share."""

import shutil

import pytest
import yaml

from i2i.interop.importing import import_weights
from i2i.models.modelfile import save_tensors
from tests.conftest import ORACLES, save, tiny_config


@pytest.fixture
def desk(desk, tiny_run, two_way_run, noise_model, named_model, noise_onnx, point_model, labelled_model):
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
    shutil.copy(ORACLES / "unet_128_batch.pth", "latest_net_G.pth")
    for way in "AB":
        shutil.copy(ORACLES / "resnet_6_instance.pth", f"latest_net_G_{way}.pth")
    summer = import_weights([ORACLES / "resnet_6_instance.pth"])
    save_tensors(desk / "summer.safetensors", summer.spec, summer.tensors)
    save(desk / "photo.jpg", 40, 50)
    for name, seed in (("a.png", 1), ("b.png", 2)):
        save(desk / "pictures" / name, 20, 20, seed=seed)
    (desk / "mine.yaml").write_text(yaml.safe_dump(tiny_config().model_dump(mode="json")), encoding="utf-8")
    return desk
