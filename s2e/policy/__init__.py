"""The policy: its network and mathematics, its files, and how it acts."""
