"""python translate.py model.onnx photo.png drawing.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image  # reads and writes the pictures; any other library will do

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
picture = Image.open(source).convert("RGBA")
white = Image.new("RGBA", picture.size, "white")  # training puts transparent pictures on white
image = np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
(outputs,) = session.run(["output"], {"image": image[None]})
Image.fromarray(outputs[0]).save(target)
