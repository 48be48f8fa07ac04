"""python translate.py model.onnx photo.png drawing.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image  # to read and write the files; any other library does as well

model, source, target = sys.argv[1:]
wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
session = onnxruntime.InferenceSession(model, providers=providers)
rgba = np.asarray(Image.open(source).convert("RGBA")).astype(int)
colours, alpha = rgba[:, :, :3], rgba[:, :, 3:]
picture = ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)  # on white, as in training
(outputs,) = session.run(["output"], {"image": picture[None]})
Image.fromarray(outputs[0]).save(target)
