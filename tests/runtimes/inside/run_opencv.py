"""OpenCV's dnn module: FILE PICTURES ANSWERS."""

import sys

import cv2
import numpy as np

file, pictures, answers = sys.argv[1:]
found, engine = [], "default engine"
try:
    network = cv2.dnn.readNetFromONNX(file)
except cv2.error:
    network, engine = cv2.dnn.readNetFromONNX(file, cv2.dnn.ENGINE_CLASSIC), "ENGINE_CLASSIC"
for picture in np.load(pictures)["pictures"]:
    network.setInput(picture[None].astype(np.float32), "image")  # as it lies: height, width, channels
    found.append(network.forward("probabilities").reshape(-1))
np.savez(answers, probabilities=np.stack(found), note=f"opencv {cv2.__version__}, {engine}")
