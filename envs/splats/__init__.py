"""Gaussian splats: files of every format, and their drawing on a CPU or with gsplat on CUDA."""
