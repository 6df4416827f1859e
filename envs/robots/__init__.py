"""Robots: kinds, motion, controllers, contacts."""
