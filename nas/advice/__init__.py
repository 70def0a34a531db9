"""What a data set says before anything is trained: sizes of boxes, the levels they need, leaks between its parts."""
