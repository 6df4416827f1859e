"""Scenes and episodes as files."""
