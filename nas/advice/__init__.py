"""Analyse a data set before training: sizes of its boxes, pyramid levels they need, leaks between its splits."""
