"""The slow, optional planner above the policy: directives, a rule planner, a client for language-model endpoints."""
