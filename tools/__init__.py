"""What makes the files of assets/; not in the wheel."""
