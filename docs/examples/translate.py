"""python translate.py model.onnx photo.png drawing.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image  # to read and write the files; any other library does as well

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
image = Image.open(source).convert("RGBA")
white = Image.new("RGBA", image.size, "white")  # which training lays transparent pictures on
picture = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
(outputs,) = session.run(["output"], {"image": picture[None]})
Image.fromarray(outputs[0]).save(target)
