"""Reads pictures that Lar wrote with the programs that people use, and says what they find.

    lar draw ... -o x.jpg;  lar draw ... -o x.webp
    python tools/reference/written.py x.jpg x.webp

Fails unless Pillow opens each, piexif finds A1111's text as A1111 reads it, and our JSON is where
src/format/exif.h says. Run with Pillow 13.0.0 and piexif 1.1.3.
"""

import json
import sys

import piexif
import piexif.helper
from PIL import Image

for path in sys.argv[1:]:
    image = Image.open(path)
    image.load()
    block = piexif.load(image.info["exif"])
    parameters = piexif.helper.UserComment.load(block["Exif"][piexif.ExifIFD.UserComment])
    note = block["Exif"][piexif.ExifIFD.MakerNote]
    assert "Steps: " in parameters and note[:4] == b"Lar\0", path
    recipe = json.loads(note[4:])
    assert parameters.startswith(recipe["prompt"]), path
    print(path, image.format, image.mode, image.size, repr(parameters[:60]), recipe["seed"])
