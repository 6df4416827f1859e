"""Who sees everything: the planner at the wheel."""
