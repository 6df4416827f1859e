"""`s2e-speed`: what a step costs, and where."""
