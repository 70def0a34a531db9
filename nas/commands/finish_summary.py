"""The table of the detectors that `nas run --finish` trained on, at the end of a run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from nas import plugins
from nas.commands.display import say
from nas.commands.run_display import SCORES, percent
from nas.commands.table import Column, numbers, print_table

if TYPE_CHECKING:
    from nas.api.search_run import SearchRun
    from nas.reports.finished_member import FinishedMember

PARTS = {"held-out": "held-out validation images, which decided nothing in the search", "all": "validation images"}


def print_finished(run: SearchRun) -> None:
    """Prints the members that were trained on, their scores with intervals and where they are, and next commands."""
    members = run.finished
    what = " and ".join(sorted({f"{each.num_images} {PARTS[each.scored_on]}" for each in members}))
    say(f"finished: scores on {what}, with 95 % bootstrap intervals")
    columns = [Column("detector", is_name=True), numbers("GMACs", priority=4), numbers("epochs", priority=3)]
    for name, title in SCORES:
        priority = 1 if name == "ap50" else 2
        columns += [numbers(f"{title} %"), numbers(f"{title} 95 %", priority=priority)]
    columns += [Column("export", priority=5)]
    print_table(columns, [_row(each) for each in members])
    for member in members:
        exported = member.folder if member.export is None else member.export
        say(f"{'detector' if member.export is None else 'export'}: {exported}")
    first, data = members[0].folder, "".join(f" {shlex.quote(word)}" for word in run.config.data_words())
    say(f"next:   nas val {shlex.quote(str(first))}{data}{plugins.options()}")
    say(f"        nas predict {shlex.quote(str(first))} IMAGE{plugins.options()}")


def _row(member: FinishedMember) -> list[str]:
    cells = [member.name, f"{member.macs / 1e9:.4f}", f"{member.epochs:.3g}"]
    for name, _ in SCORES:
        low, high = (member.scores.get(f"{name}_{end}") for end in ("low", "high"))
        cells += [percent(member.scores.get(name)), f"{percent(low)}-{percent(high)}"]
    return [*cells, "-" if member.export is None else "ONNX" if member.onnx is not None else "without ONNX"]
