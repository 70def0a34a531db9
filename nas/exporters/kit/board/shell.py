"""Runs programs, reads and writes files, prints lines. For the scripts of this folder; needs Python 3.6."""

import json
import os
import subprocess
import sys


def fail(message):
    """Prints an error and exits with code 2."""
    note("%s: error: %s" % (os.path.basename(sys.argv[0]), message))
    sys.exit(2)


def note(text):
    """Prints a line as `say` does, on the standard error output."""
    sys.stderr.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()


def say(text):
    """Prints a line in UTF-8, whatever the locale, with the bytes that names of files have."""
    sys.stdout.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def ran(command, errors=subprocess.STDOUT, see=None):
    """Runs a program; returns its exit code and its output as text, whatever bytes it has.

    Args:
        command: The program and its arguments.
        errors: Where the standard error output goes.
        see: Is called with each line of the output when it comes.
    """
    lines = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process:
        for line in iter(process.stdout.readline, b""):
            lines.append(line.decode("utf-8", "replace"))
            if see is not None:
                see(lines[-1])
    return process.returncode, "".join(lines)


def said(command):
    """Returns what a program printed, or None if it is missing or printed nothing.

    Its exit code is not looked at: nvpmodel prints the power mode, then fails for want of root.
    """
    try:
        return ran(command, subprocess.DEVNULL)[1].strip() or None
    except OSError:
        return None


def read(path):
    """Returns the text of a file, or None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def read_json(path):
    """Returns the content of a JSON file, or None if there is none."""
    text = read(path)
    return None if text is None else json.loads(text)


def write(path, fill):
    """Writes a text file atomically: `fill` gets the open file."""
    part = path + ".part"
    with open(part, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        fill(file)
    os.replace(part, path)
