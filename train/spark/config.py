"""The sizes Spark is trained in. `full` fits one data-centre GPU in 25 minutes, `medium` a CPU with bf16
matrix units (AMX), `small` any other CPU."""

COLOURS = {
    "white": (255, 255, 255), "black": (24, 24, 28), "grey": (150, 152, 158),
    "red": (214, 48, 52), "orange": (245, 140, 40), "yellow": (250, 214, 70),
    "green": (64, 166, 90), "light green": (176, 226, 168), "blue": (52, 104, 208),
    "light blue": (168, 212, 246), "purple": (128, 72, 180), "pink": (250, 178, 204),
    "brown": (130, 88, 60), "beige": (240, 226, 200), "teal": (40, 150, 150),
}

# Widths of the diffusers classes; everything else about them stands in the scripts.
PRESETS = {
    "full": {
        "size": 256,
        "concepts": None,               # None: every name in the sets
        "sets": ("fluent", "noto"),
        "wobble": 0.02, "scale": (0.66, 0.84),      # of positions, and the share of the side an object takes
        "pictures": 60000,              # compositions with captions
        "extra": 4000,                  # more pictures for the VAE alone
        "names": 0.85,                  # the other words are CLDR's keywords, some of them vague
        "kinds": {"one": 0.5, "placed": 0.1, "count": 0.14, "pair": 0.16, "coloured": 0.1},
        "styles": {"plain": 0.8, "pixel art": 0.1, "line art": 0.1},
        "backgrounds": None,            # None: all of COLOURS
        "merges": 2500,
        "vae": {"channels": (48, 96, 192, 192), "groups": 16, "batch": 64, "crop": 128,
                "lr": 4e-4, "steps": 24000, "minutes": 9},
        "text": {"hidden": 256, "layers": 4, "heads": 4, "positions": 32},
        "unet": {"channels": (96, 160, 256), "layers": 2, "heads": (3, 5, 8), "groups": 32},
        "diffusion": {"batch": 512, "lr": 6e-4, "steps": 60000, "minutes": 14},
    },
    "medium": {
        "size": 256,
        "concepts": "concepts.txt",
        "learn_all": True,              # those marked ~ too
        "sets": ("fluent",),
        "wobble": 0.015, "scale": (0.66, 0.82),
        "flip": 0.5, "turn": 12,        # the chance of a mirrored object, and its greatest slant in degrees
        "pictures": 14000,
        "extra": 2500,
        "names": 0.6,
        "kinds": {"one": 0.62, "count": 0.19, "pair": 0.19},
        "styles": {"plain": 1.0},
        "backgrounds": ("white", "black", "grey", "red", "yellow", "green", "blue", "light blue",
                        "purple", "pink"),
        "merges": 900,
        "vae": {"channels": (32, 64, 96, 128), "groups": 16, "batch": 16, "crop": 96,
                "lr": 1.2e-3, "steps": 12000, "minutes": 28},
        "text": {"hidden": 128, "layers": 2, "heads": 2, "positions": 32},
        "unet": {"channels": (64, 128, 192), "layers": 1, "heads": (2, 4, 6), "groups": 16},
        "diffusion": {"batch": 32, "lr": 1e-3, "steps": 60000, "minutes": 75},
    },
    "small": {
        "size": 128,
        "concepts": "concepts.txt",
        "sets": ("fluent",),
        "wobble": 0.01, "scale": (0.77, 0.8),
        "pictures": 6000,
        "extra": 3000,
        "names": 0.6,                   # the other words are those of concepts.txt
        "kinds": {"one": 1.0},
        "styles": {"plain": 1.0},
        "backgrounds": ("white", "black", "grey", "red", "yellow", "green", "blue", "light blue",
                        "purple", "pink"),
        "merges": 900,
        "vae": {"channels": (16, 32, 64, 128), "groups": 8, "batch": 16, "crop": 64,
                "lr": 1.5e-3, "steps": 12000, "minutes": 32},
        "text": {"hidden": 128, "layers": 2, "heads": 2, "positions": 32},
        "unet": {"channels": (32, 96, 160), "layers": 1, "heads": (1, 3, 5), "groups": 8},
        "diffusion": {"batch": 32, "lr": 1e-3, "steps": 40000, "minutes": 70},
    },
}
