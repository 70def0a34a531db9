"""Gather the content of a report from the folder, the study and the data of a run."""
