"""Training: the plan, and the loop that follows it."""
