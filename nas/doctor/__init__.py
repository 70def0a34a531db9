"""Whether this machine can do what the commands ask of it: `nas doctor`."""
