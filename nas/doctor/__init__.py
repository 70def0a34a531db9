"""Checks of this machine for `nas doctor`."""
