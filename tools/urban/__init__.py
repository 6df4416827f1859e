"""The scripts that paint gs_urban, the benchmark's suite of splat scenes; each scene is a module."""
