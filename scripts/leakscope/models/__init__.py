"""Language models: opening, checking, prompting, scoring, generation, editing and training."""
