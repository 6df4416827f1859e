"""S2E: from seeing to experiencing. The parts that every stage shares."""

__version__ = "0.1.0"
