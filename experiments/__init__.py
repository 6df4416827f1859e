"""What made the tables of docs/results.md; not in the wheel."""
