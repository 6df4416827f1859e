"""gs_urban, the benchmark's suite of splat scenes, and the scripts that paint them."""

SCENES = (
    "plaza",
    "courtyard",
    "lane",
    "stairs",
    "park",
    "hall",
    "quay",
    "residential",
    "underpass",
    "schoolyard",
    "station",
)
"""The suite's scenes, in the order they are judged; each is a module here. `plaza` ships, the
others are built on first use."""
