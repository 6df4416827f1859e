"""`s2e-data`: recording walks and stills."""
