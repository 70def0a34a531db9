"""Compares search strategies on tables of trained detectors, in seconds."""
