"""What each command does, as functions that return results and print nothing."""
