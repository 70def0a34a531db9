"""The search engine: scheduler, strategies, surrogate, study. Optuna is imported only in this package."""
