"""Seeing: datasets of navigation video, the pretraining loop, and the open-loop metrics."""
