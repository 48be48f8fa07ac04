"""python translate.py model.onnx photo.png drawing.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image  # to read and write the files; any other library does as well

model, source, target = sys.argv[1:]
wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
session = onnxruntime.InferenceSession(model, providers=providers)
picture = np.asarray(Image.open(source).convert("RGB"))
(outputs,) = session.run(["output"], {"image": picture[None]})
Image.fromarray(outputs[0]).save(target)
