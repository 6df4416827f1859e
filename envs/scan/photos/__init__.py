"""Photographs to splats: cameras, depth by sweeping, optimisation."""
