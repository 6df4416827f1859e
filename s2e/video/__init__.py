"""Navigation video: walks, the formats they come in, and what is done to them before training."""
