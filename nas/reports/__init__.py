"""What a report of a run is made of, gathered from its folder, its study and its data."""
