"""Export architectures as folders that can be trained, run and deployed elsewhere."""
