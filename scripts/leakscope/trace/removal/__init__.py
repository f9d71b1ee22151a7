"""What is left of a leak after it was mitigated, what of a concept's use is kept, and what that costs."""
