"""Translate one picture without cluit: python onnx_only.py FOLDER SOURCE REFERENCE OUT [DOMAIN]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, source, reference, out, *domain = sys.argv[1:]
card = json.loads(Path(folder, "model.json").read_text())["export"]


def picture(path):  # its central square, (1, 3, S, S) in [-1, 1]
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    left, top = ((side - min(image.size)) // 2 for side in image.size)
    box = (left, top, left + min(image.size), top + min(image.size))
    square = image.resize([card["image_size"]] * 2, Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    return np.asarray(square, np.float32).transpose(2, 0, 1)[None] / np.float32(127.5) - 1


def run(name, *inputs):
    graph = onnxruntime.InferenceSession(f"{folder}/{name}.onnx")
    return graph.run(None, dict(zip(card["graphs"][name]["inputs"], inputs, strict=True)))[0]


style = run("style", picture(reference), *(np.array([card["domains"].index(name)]) for name in domain))
painted = run("decode", run("structure", picture(source)), style)[0].transpose(1, 2, 0)
Image.fromarray(((painted + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save(out)
