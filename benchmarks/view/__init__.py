"""`s2e-view`: a scene and its drives in a browser."""
