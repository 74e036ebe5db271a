"""What a core spends on a training image of ImageNet before it is on a device.

    python -m benchmarks.images

Scikit-image's photographs as JPEG files of 500 x 375 pixels and quality 95 (ImageNet's
files have half as many bytes again) go through the reader of the ``imagenet`` config:
decoded by Pillow, cropped at random, resized to 224 x 224. In processor time, which
other programs on the machine hardly change.
"""

import io
import statistics
import time

import numpy as np
from PIL import Image

from benchmarks.timing import save
from eqnets.io import sample_photographs
from experiments.training.config import load
from experiments.training.datasets import Records

SIZE, QUALITY, ROUNDS = (500, 375), 95, 7


def files() -> list[bytes]:
    """The photographs, encoded."""
    found = []
    for photograph in sample_photographs()[1]:
        image = Image.fromarray(np.asarray(photograph)).convert("RGB").resize(SIZE, 2)
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=QUALITY)
        found.append(buffer.getvalue())
    return found


def main() -> None:
    """Time, print and save."""
    encoded = files()
    data = load("imagenet").data

    def decode(one: bytes, rng: np.random.Generator):
        image = np.asarray(Image.open(io.BytesIO(one)))
        return data._decode_train({"image": image, "label": 0}, rng)

    source, everything = Records(encoded, decode), np.arange(len(encoded))
    source.read(everything, 0)
    seconds = []
    for epoch in range(ROUNDS):
        start = time.process_time()
        source.read(everything, epoch)
        seconds.append((time.process_time() - start) / len(encoded))
    figures = {
        "what": f"JPEG {SIZE[0]} x {SIZE[1]}, quality {QUALITY}, to a crop of 224",
        "kilobytes_per_image": round(sum(map(len, encoded)) / len(encoded) / 1e3, 1),
        "core_milliseconds_per_image": round(1e3 * statistics.median(seconds), 2),
        "min_max": [round(1e3 * s, 2) for s in (min(seconds), max(seconds))],
    }
    print(figures)
    print("saved", save("images", figures))


if __name__ == "__main__":
    main()
