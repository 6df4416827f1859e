"""Procedural streets from a seed, as triangles or as captures."""
