"""MediaPipe's ObjectDetector or ImageSegmenter: detection|segmentation FILE PICTURES ANSWERS."""

import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageSegmenter, ImageSegmenterOptions, ObjectDetector, ObjectDetectorOptions

kind, file, pictures, answers = sys.argv[1:]
images = [
    mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
    for picture in np.load(pictures)["pictures"]
]
base = BaseOptions(model_asset_path=file)
if kind == "detection":
    rows = []  # number of the picture, label, score, left, top, width, height in pixels
    with ObjectDetector.create_from_options(ObjectDetectorOptions(base_options=base, score_threshold=0.01)) as detector:
        for number, image in enumerate(images):
            for found in detector.detect(image).detections:
                box = found.bounding_box
                # Equal boxes of several classes are one for MediaPipe.
                for one in found.categories:
                    rows.append((number, one.category_name, one.score, box.origin_x, box.origin_y, box.width, box.height))
    np.savez(answers, labels=np.array([row[1] for row in rows]), values=np.array([row[:1] + row[2:] for row in rows], np.float64))
else:
    options = ImageSegmenterOptions(base_options=base, output_category_mask=True, output_confidence_masks=True)
    masks, sure = [], []
    with ImageSegmenter.create_from_options(options) as segmenter:
        for image in images:
            found = segmenter.segment(image)
            masks.append(found.category_mask.numpy_view().squeeze().copy())
            sure.append(np.stack([mask.numpy_view().squeeze() for mask in found.confidence_masks], axis=-1))
        np.savez(answers, labels=np.array(segmenter.labels), masks=np.stack(masks), sure=np.stack(sure))
