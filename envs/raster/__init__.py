"""Triangles to images."""
