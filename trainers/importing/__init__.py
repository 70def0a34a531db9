"""Read checkpoint files of other programs and convert them to weights of ours."""
