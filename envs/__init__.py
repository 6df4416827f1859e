"""Worlds: batched simulation, crowd, robots, renderers, scenes, and the Gymnasium and Stable-Baselines3 doors."""
