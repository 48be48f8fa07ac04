"""Print what `i2i serve` needs for .onnx files on a CPU, by pyproject.toml: all but the training half."""

import re
import tomllib
from pathlib import Path

TRAINING = {"torch", "torchvision", "lightning-fabric", "albumentations", "kornia", "onnx", "onnxscript"}


def main() -> None:
    """Print one requirement a line."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    for requirement in wanted:
        plain = re.sub(r"^onnxruntime-gpu\[.*?\](?=[>=])", "onnxruntime", requirement)  # without CUDA everywhere
        if re.split(r"[^\w-]", plain)[0] not in TRAINING:
            print(plain)


if __name__ == "__main__":
    main()
