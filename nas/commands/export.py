"""`nas export`: copies the front of a run to a folder of its own."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.options import echo_json, json_option, plugin_option


@click.command(name="export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the front goes.")
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@plugin_option
@json_option
def command(run: Path, out: Path, force: bool, as_json: bool) -> None:
    """Write the front of RUN as architectures that `nas train` takes, with weights and a table, front.csv."""
    from results.export import export_front
    from search_space.errors import ConfigError

    try:
        table = export_front(run, out, force=force)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    rows = [
        {"key": row["key"], "path": str(out / row["architecture_file"]), "weights": _weights(out, row["weights_file"])}
        for row in table.to_dict("records")
    ]
    if as_json:
        echo_json({"run": str(run), "out": str(out), "front": rows})
        return
    num_weights = sum(row["weights"] is not None for row in rows)
    click.echo(f"{len(rows)} architectures of the front are in {out}, {num_weights} with weights")
    click.echo(f"next: nas train {rows[0]['path']}{_data_of(run)}")


def _data_of(run: Path) -> str:
    """Returns the options that name the data set of the run; nothing for the built-in set."""
    from nas.config import read_config
    from nas.run_folder import CONFIG_YAML

    config = read_config(run / CONFIG_YAML)
    if not config.data:
        return ""
    options = {"data": config.data, "split": config.split, "format": config.data_format, "images": config.images}
    return "".join(f" --{name} {value}" for name, value in options.items() if value)


def _weights(out: Path, name: object) -> str | None:
    return str(out / name) if isinstance(name, str) else None
