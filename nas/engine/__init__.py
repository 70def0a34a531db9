"""The search: what is asked for, what may be trained, what was learned. Optuna is imported here and nowhere else."""
