"""Makes tests/data/pictures: small pictures and what Pillow makes of them.

    python tools/reference/pictures.py tests/data/pictures

Written with Pillow 13.0.0 (libwebp 1.5, libjpeg-turbo 3). Everything is drawn here by formula, so
the files carry no licence but ours.
"""

import struct
import sys
from pathlib import Path

import numpy as np
import piexif
import piexif.helper
from PIL import Image, ImageOps, PngImagePlugin

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)

PARAMETERS = (
    "a lighthouse at dusk\nNegative prompt: fog\n"
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 24x16, "
    "Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Version: v1.10.1"
)
UNICODE = "um farol ao anoitecer \u706f\u53f0 \U0001f5fc"


def pattern(width, height, alpha=False):
    """No symmetry, smooth parts, hard edges and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 127 + 120 * np.sin(x * y / 40)], -1)
    rgb[: height // 3, : width // 4] = [250, 20, 30]
    noise = np.random.default_rng(7).integers(0, 256, rgb.shape)
    rgb[height // 2 :, width // 2 :] = noise[height // 2 :, width // 2 :]
    picture = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    if alpha:
        a = np.clip(np.rint(255 * (x + y) / (width + height - 2)), 0, 255)
        a[: height // 4] = 0
        picture = np.concatenate([picture, a[..., None].astype(np.uint8)], -1)
    return Image.fromarray(picture)


def stored(image, orientation):
    """The pixels a camera held that way stores; reading applies the orientation."""
    inverse = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    return image if inverse is None else image.transpose(Image.Transpose(inverse))


def exif(orientation=1, description=None, comment=None, order=">"):
    """A TIFF block by hand, in either byte order; comment is the raw UserComment value."""
    def entry(tag, kind, count, value):
        return struct.pack(order + "HHI", tag, kind, count) + value

    def short(v):
        return struct.pack(order + "HH", v, 0)

    def long(v):
        return struct.pack(order + "I", v)

    entries, tail = [], b""
    n = 1 + (description is not None) + (comment is not None)
    base = 8 + 2 + 12 * n + 4
    if description is not None:
        data = description.encode() + b"\0"
        entries.append(entry(0x010E, 2, len(data), long(base)))
        tail += data
    entries.append(entry(0x0112, 3, 1, short(orientation)))
    if comment is not None:
        at = base + len(tail)
        entries.append(entry(0x8769, 4, 1, long(at)))
        tail += struct.pack(order + "H", 1) + entry(0x9286, 7, len(comment), long(at + 18))
        tail += long(0) + comment
    head = (b"MM\0*" if order == ">" else b"II*\0") + long(8) + struct.pack(order + "H", n)
    return b"Exif\0\0" + head + b"".join(entries) + long(0) + tail


def save_reading():
    upright = pattern(24, 16)
    upright.save(OUT / "upright.png", optimize=True)
    for o in range(1, 9):
        stored(upright, o).save(OUT / f"turned{o}.jpg", quality=95, subsampling=0, exif=exif(o))
    stored(upright, 6).save(OUT / "turned6.png", exif=exif(6, order="<"))
    stored(upright, 8).save(OUT / "turned8.webp", lossless=True, exif=exif(8, order="<"))

    alpha = pattern(24, 16, alpha=True)
    alpha.save(OUT / "lossless_alpha.webp", lossless=True, exact=True)
    alpha.save(OUT / "lossy_alpha.webp", quality=80)
    upright.save(OUT / "lossy.webp", quality=80)
    upright.save(OUT / "animated.webp", save_all=True, append_images=[upright.rotate(180)])
    for name in ("lossy_alpha", "lossy"):
        Image.open(OUT / f"{name}.webp").save(OUT / f"{name}.webp.png", optimize=True)
    alpha.save(OUT / "alpha.png", optimize=True)

    cmyk = upright.convert("CMYK")
    cmyk.save(OUT / "cmyk.jpg", quality=95)
    Image.open(OUT / "cmyk.jpg").convert("RGB").save(OUT / "cmyk.jpg.png", optimize=True)


def save_texts():
    small = pattern(8, 8)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", PARAMETERS)
    info.add_text("Title", "caf\u00e9")
    info.add_text("Comment", UNICODE)
    info.add_text("Squeezed", "again and again " * 20, zip=True)
    info.add_itxt("Wrapped", UNICODE, "pt", "Embrulhado", zip=True)
    small.save(OUT / "texts.png", pnginfo=info)

    comments = {
        "comment_be.jpg": (b"UNICODE\0" + UNICODE.encode("utf-16-be"), ">"),
        "comment_le.jpg": (b"UNICODE\0" + UNICODE.encode("utf-16-le"), "<"),
        "comment_mixed.jpg": (b"UNICODE\0" + UNICODE.encode("utf-16-be"), "<"),
        "comment_ascii.webp": (b"ASCII\0\0\0" + PARAMETERS.encode(), ">"),
    }
    for name, (comment, order) in comments.items():
        small.save(OUT / name, exif=exif(1, "described", comment, order))


def save_as_a1111():
    """As AUTOMATIC1111 writes its JPEG and WebP (modules/images.py): through piexif."""
    comment = piexif.helper.UserComment.dump(PARAMETERS + UNICODE, encoding="unicode")
    block = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})
    for name in ("a1111.jpg", "a1111.webp"):
        pattern(8, 8).save(OUT / name)
        piexif.insert(block, str(OUT / name))


def save_resized():
    for alpha in (False, True):
        kind = "rgba" if alpha else "rgb"
        image = pattern(37, 29, alpha)
        image.save(OUT / f"resize_{kind}.png", optimize=True)
        for width, height in ((16, 12), (64, 48), (37, 10), (1, 1)):
            image.resize((width, height), Image.Resampling.LANCZOS).save(
                OUT / f"resize_{kind}_{width}x{height}.png", optimize=True)
        for width, height in ((24, 24), (40, 16)):
            ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS).save(
                OUT / f"fit_{kind}_{width}x{height}.png", optimize=True)


save_reading()
save_texts()
save_as_a1111()
save_resized()
