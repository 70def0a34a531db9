"""Books of the bench of clusters and its hosts; all of it: `python -m tests.cluster`."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from search_fakes import FakeEvaluator, make_folder, make_search, open_study

from nas.engine.storage import database_errors, heartbeat
from nas.executors import Evaluation
from results.trial import Cause, Outcome
from search_space.errors import ConfigError, WriteError
from tests.cluster.books import Ended, Witness, as_table, close_books
from tests.cluster.hosts import may_make_hosts, network, processes_beside

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "cluster"
WITNESS = "begun 0 alpha\nended 0 alpha\nbegun 1 beta\nbegun 2 alpha\nnoise\nended 2 alpha\n"
PRINTED = "trial   0 complete random\ntrial   1 complete random\nnas: error: a; next: b\n"


def test_the_witness_is_read() -> None:
    witness = Witness.of(WITNESS)
    assert witness.begun == {0: "alpha", 1: "beta", 2: "alpha"}
    assert set(witness.ended) == {0, 2}
    assert witness.in_flight("beta") == {1} and witness.in_flight("alpha") == set()


def test_the_books_tell_what_is_lost_and_what_is_not_as_required(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(), trials=2).run()
    trials = open_study(folder).trials()
    done = {number: "alpha" for number in (0, 1)}
    good = Ended(host="alpha", code=0, text="trial   0 complete random\n", says="^trial")
    line = close_books("all well", Witness(begun=done, ended=done), trials, [], [good])
    assert (line.begun, line.ended, line.lost, line.doubled, line.good) == (2, 2, 0, 0, True)

    bad = Ended(host="beta", code=1, text=f"{PRINTED}trial   7 complete random\nTraceback (", says="^nothing")
    line = close_books("bad", Witness.of(f"{WITNESS}begun 9 beta\n"), trials, trials[:1], [good, bad])
    assert line.lost == 3  # 7 was printed, 2 and 9 began, and none is in the study
    assert line.doubled == 1
    assert len(line.flaws) == 3 and not line.good
    table = as_table([line.to_dict()])
    assert "| bad | 4 | 2 |" in table and "1 cases: 3 trials lost, 1 counted twice, 1 not as required." in table


def test_the_message_of_a_command_is_the_line_that_was_looked_for() -> None:
    assert Ended(host="a", code=2, text=PRINTED, codes=(2,), says="^nas: error").message == "nas: error: a; next: b"
    assert Ended(host="a", code=1, text=f"{PRINTED}front: x\n").message == "front: x"
    assert Ended(host="a", code=0, text=PRINTED).message == ""
    assert Ended(host="a", code=None, text="").message == "(nothing)"


@pytest.mark.skipif(not may_make_hosts(), reason="namespaces need root")
def test_hosts_have_names_cables_and_disks_of_their_own_and_leave_nothing(tmp_path: Path) -> None:
    connect = "import socket; print(socket.socket().connect_ex(('10.77.0.2', 22)))"
    connect = connect.replace("socket.socket()", "(lambda s: s.settimeout(0.5) or s)(socket.socket())")
    words = (Path(sys.executable).resolve(), "-S", "-c", connect)  # an environment may be below /tmp, which is hidden
    with network(tmp_path) as net:
        alpha, beta = net.host("alpha"), net.host("beta", disk_mb=1)
        assert alpha.run("hostname").strip() == "alpha" != socket.gethostname()
        refused = alpha.run(*words)
        beta.unplug()
        unreachable = alpha.run(*words)
        beta.plug_in()
        assert refused != unreachable
        beta.fill_disk()
        assert beta.start("sh", "-c", "echo x > /tmp/x").wait() != 0
        alpha.run("sh", "-c", "echo x > /tmp/x")
        assert not Path("/tmp/filler").exists()
        sleeper = beta.start("sleep", "1000")
        below = processes_beside(beta.pid)
    assert sleeper.wait(10) == -9 or sleeper.popen.returncode == 137
    assert below and not any(Path(f"/proc/{pid}").exists() for pid in below)


def test_a_result_that_comes_after_its_trial_was_given_up_is_dropped(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    search = make_search(folder, FakeEvaluator(), trials=1)
    study, other = search.study, open_study(folder)
    running = study.begin(search.scheduler.next([], []))  # type: ignore[arg-type]
    other.settle()
    study.tell(running, Evaluation(outcome=Outcome.COMPLETE, scores={"accuracy": 0.5}))
    (trial,) = open_study(folder).trials()
    assert (trial.outcome, trial.cause, dict(trial.scores)) == (Outcome.FAILED, Cause.INTERRUPTED, {})


def test_a_worker_that_ends_with_an_error_gives_its_trials_back(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    search = make_search(folder, FakeEvaluator(), trials=1)
    search.study.worker, other = "far:1:x", open_study(folder)
    with pytest.raises(WriteError), heartbeat(search.study):
        search.study.begin(search.scheduler.next([], []))  # type: ignore[arg-type]
        raise WriteError("cannot write")
    (trial,) = other.trials()
    assert (trial.cause, other.running()) == (Cause.INTERRUPTED, [])


def test_a_database_that_no_longer_answers_is_one_line() -> None:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError

    with pytest.raises(ConfigError, match=r"does not answer: no route; .*next: .*nas run --resume x$") as caught:
        with database_errors("nas run --resume x"):
            raise StorageInternalError("during the commit") from OperationalError("", {}, Exception("no route\nsecond"))
    assert "\n" not in str(caught.value)


def test_the_slurm_script_is_bash_and_runs_options_that_exist() -> None:
    from nas.commands.run import command

    script = EXAMPLES / "slurm.sh"
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = script.read_text(encoding="utf-8")
    lines = text.splitlines()
    directives = [index for index, line in enumerate(lines) if line.startswith("#SBATCH --")]
    first_command = next(index for index, line in enumerate(lines) if line and not line.startswith("#"))
    assert directives and max(directives) < first_command, "sbatch reads no directive behind the first command"
    known = {option for each in command.params for option in each.opts}
    searched = "".join(line for line in lines if line.startswith(("search=", "  search=", "  nas run")))
    assert set(re.findall(r"--[a-z-]+", searched)) <= known


def test_the_manifest_of_kuberay_has_what_a_cluster_needs() -> None:
    text = (EXAMPLES / "raycluster.yaml").read_text(encoding="utf-8")
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    spec = manifest["spec"]
    assert manifest["metadata"]["name"] and isinstance(spec["rayVersion"], str)
    (workers,) = spec["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"] and workers["groupName"]
    images = set()
    for group in (spec["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes strings"
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        images.add(container["image"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
        assert {"name": "shared", "persistentVolumeClaim": {"claimName": "nas"}} in pod["volumes"]
        assert container["resources"]["limits"].keys() <= container["resources"]["requests"].keys()
    assert len(images) == 1, "head and workers need the same Ray and Python"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.jetpack"])
def test_dockerfiles_copy_what_exists_and_tags_are_pinned(name: str) -> None:
    text = (ROOT / "docker" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    words = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD", "ENTRYPOINT"}
    assert {step[0] for step in steps} <= words
    (image,) = [step[1] for step in steps if step[0] == "FROM"]
    assert ":" in image and "latest" not in image
    for _, arguments in (step for step in steps if step[0] == "COPY"):
        assert all((ROOT / source).exists() for source in arguments.split()[:-1])
    for _, script in (step for step in steps if step[0] == "RUN"):
        assert subprocess.run(["bash", "-n", "-c", script]).returncode == 0
        if "apt-get install" in script:
            assert "--no-install-recommends" in script and "rm -rf /var/lib/apt/lists/*" in script


def test_the_image_has_the_torch_and_all_packages_of_the_project() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    torch = re.search(r'"(torch[^"]+)"', project)
    assert torch is not None and f'"{torch[1]}"' in text
    packages = re.search(r'include = \["(.+)"\]', project)
    assert packages is not None
    for package in packages[1].replace('"', "").replace("*", "").split(", "):
        assert f"COPY {package} {package}\n" in text
