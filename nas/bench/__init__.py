"""Replays tables of trained detectors, so that a strategy is judged in seconds."""
