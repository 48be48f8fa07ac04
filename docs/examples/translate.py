"""python translate.py model.onnx photo.png drawing.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image  # to read and write the files; any other library does as well

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
picture = np.asarray(Image.open(source).convert("RGB"))
(outputs,) = session.run(["output"], {"image": picture[None]})
Image.fromarray(outputs[0]).save(target)
