"""Read checkpoint files of other programs and convert them to weights of ours.

The files are data of strangers. Nothing of them is run: `inert_pickle` interprets a pickle without importing or calling
what it names, and every reader bounds what it reads before it reads it.
"""
