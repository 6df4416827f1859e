"""What of a scan is floor, what stands on it, how large it is."""
