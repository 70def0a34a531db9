"""What leaves the house: an architecture as a folder that can be trained, run and put on a board elsewhere."""
