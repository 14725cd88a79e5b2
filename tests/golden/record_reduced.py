"""Records pictures that Pillow reduces before it resizes them: `python record_reduced.py` rewrites `reduced/`."""

import shutil
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
SIZES = [(16, 16), (20, 12), (10, 30), (7, 9), (13, 64), (22, 50)]


def main():
    shutil.rmtree(HERE / "reduced", ignore_errors=True)
    (HERE / "reduced").mkdir()
    for index in (0, 1, 4):
        picture = Image.open(HERE / "data" / "images" / f"{index}.png").convert("RGB")
        for width, height in SIZES:
            resized = picture.resize((width, height), resample=Image.BICUBIC, reducing_gap=1)
            resized.save(HERE / "reduced" / f"{index}-{width}-{height}.png", optimize=True)


if __name__ == "__main__":
    main()
