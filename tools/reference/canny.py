"""Makes tests/data/pictures/canny_*.png: pictures and what OpenCV's cv2.Canny makes of them.

    python tools/reference/canny.py

canny_<picture>.png is the input, canny_<picture>_<low>_<high>.png its edges. Drawn by formula.
"""

import pathlib

import cv2
import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "pictures"
THRESHOLDS = [(100, 200), (30, 90), (0, 0), (150, 151)]


def shapes(width, height):
    """Soft and hard edges of every direction, each channel with its own."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.zeros((height, width, 3))
    rgb[..., 0] = 255 / (1 + np.exp((np.hypot(x - width / 2, y - height / 2) - height / 3) / 2))
    rgb[..., 1] = np.where((x + 2 * y) % 37 < 18, 200, 40)
    rgb[..., 2] = 127 + 120 * np.sin(x / 5) * np.cos(y / 7)
    return rgb


def noise(width, height):
    """Coarse noise, smoothed."""
    rgb = np.random.default_rng(5).integers(0, 256, (height // 4 + 2, width // 4 + 2, 3)).astype(np.float32)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)


def flat(width, height):
    """A white box on grey that touches the border, and a step of one."""
    rgb = np.full((height, width, 3), 100.0)
    rgb[: height // 2, : width // 3] = 255
    rgb[:, -4:] = 101
    return rgb


PICTURES = {"shapes": shapes(113, 79), "noise": noise(96, 64), "flat": flat(40, 30), "line": shapes(31, 1)}

for name, rgb in PICTURES.items():
    picture = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    cv2.imwrite(str(OUT / f"canny_{name}.png"), picture[..., ::-1])
    for low, high in THRESHOLDS:
        edges = cv2.Canny(picture, low, high)
        cv2.imwrite(str(OUT / f"canny_{name}_{low}_{high}.png"), edges)
        print(name, low, high, f"{np.mean(edges > 0):.3f}")
