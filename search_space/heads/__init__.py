"""The heads of detectors, one idea a file."""
