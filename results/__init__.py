"""What a search found: records of trials, the front among them, and their export."""
