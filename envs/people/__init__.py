"""People: who walks, and how."""
