"""The command `nas`: a thin group whose commands are imported only when they are called."""

from __future__ import annotations

import sys

import click

from nas.commands.lazy import LazyGroup
from nas.process_control import wait_for_first_process
from results.visible import visible
from search_space.errors import UserError

COMMANDS = {
    "run": "search detectors under a budget",
    "train": "train one architecture",
    "val": "measure the accuracy of trained weights",
    "predict": "detect objects with trained weights and draw them into pictures",
    "inspect": "show the object sizes of a data set, the levels they need, and images shared by its parts",
    "data": "check a data set, or convert it to another format",
    "weights": "import weights that others published",
    "designs": "list the published designs, their cost and their reported accuracy",
    "reproduce": "rebuild a published design and compare its counts",
    "explain": "show the nodes of an architecture and their cost, or compare two",
    "report": "show what a run found in one HTML file",
    "export": "write the front of a run, or an architecture, as folders with weights and ONNX",
    "devices": "list the boards that latency is predicted for",
    "bench": "compare search strategies on tables of trained detectors",
    "latency": "predict the latency of a detector on a board, or calibrate a board",
    "doctor": "check whether this machine can search and train",
    "completion": "print the shell script that completes commands and options",
}


LONGEST_LINE = 4000
"""Characters of an error: a file can hold a name of any length."""


class Commands(LazyGroup):
    """The commands of `nas`, each in the module of its name."""

    known = {name: (name, what) for name, what in COMMANDS.items()}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.version_option(package_name="pyramidnas", prog_name="nas")
def group(debug: bool) -> None:
    """Hardware-aware architecture search for small-object detectors.

    \b
    Examples:
      nas run --budget-gflops 1
      nas doctor
    """


def main(argv: list[str] | None = None) -> None:
    """Runs the command line: user errors become one line and exit code 2, Ctrl-C exit code 130."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = ["--debug"] * debug + [argument for argument in arguments if argument != "--debug"]
    try:
        group.main(args=arguments, prog_name="nas", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if debug:
            raise
        wait_for_first_process()
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "nas"
        message = _one_line(error.format_message()).rstrip(".")
        click.echo(f"nas: error: {message}; see {command} --help", err=True)
        sys.exit(2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("nas: interrupted", err=True)
        sys.exit(130)
    except Exception as error:
        if debug or not isinstance(error, (UserError, OSError)):
            raise
        click.echo(f"nas: error: {_one_line(error)}", err=True)
        sys.exit(2)


def _one_line(message: object) -> str:
    """Returns a message as one line that a terminal only shows; of one as long as a page, its beginning and end."""
    line = visible(" ".join(str(message).split()))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 600]} ... {line[-500:]}"


if __name__ == "__main__":
    main()
