"""Formats of navigation video: one a file; `formats` chooses."""
