"""MediaPipe's ImageClassifier, which reads labels and normalisation from the file: FILE PICTURES ANSWERS."""

import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

file, pictures, answers = sys.argv[1:]
# A threshold that the metadata may have is to change nothing here; 0 would not replace it.
options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=file), score_threshold=1e-9)
found = []
with ImageClassifier.create_from_options(options) as classifier:
    for picture in np.load(pictures)["pictures"]:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        [head] = classifier.classify(image).classifications
        found.append({category.category_name or "": category.score for category in head.categories})  # the likeliest first
labels = sorted(set().union(*found))
np.savez(
    answers,
    labels=np.array(labels),
    probabilities=np.array([[answer.get(label, 0) for label in labels] for answer in found], np.float32),
    first=np.array([next(iter(answer)) for answer in found]),
    note=f"mediapipe {mediapipe.__version__}",
)
