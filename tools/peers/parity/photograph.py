# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/photograph.jpg, and its pixels as Pillow decodes them as photograph.png."""
import pathlib

from PIL import Image

folder = pathlib.Path(__file__).resolve().parents[3] / "tests" / "fixtures"
picture = Image.new("RGB", (12, 8))
picture.putdata(
    [(20 * x, 30 * y, 255 - 10 * x - 12 * y) for y in range(8) for x in range(12)]
)
picture.save(folder / "photograph.jpg", quality=75, optimize=True, subsampling=0)
Image.open(folder / "photograph.jpg").save(folder / "photograph.png", optimize=True)
