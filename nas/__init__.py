"""The search over detector architectures, and the command `nas`."""
