"""From a capture to a place: what `s2e-scene` does with a file of splats."""
