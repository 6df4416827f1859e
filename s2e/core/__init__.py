"""What every stage stands on: errors, runs, ranks, locks, tokens of observations."""
