"""Deliberate errors that the tests must notice: python -m tests.mutants [FILE …] [-k WORDS] [--part N]

tests/mutants.toml lists small errors:

    [[mutant]]
    file = "aecore/models/plain.py"           the file that is changed
    text = "…"                                stands in it exactly once
    replacement = "…"                         what stands there instead
    tests = ["tests/test_x.py::test_y"]       the tests that notice it

The named tests must pass in an unchanged copy of the project, each within 10 seconds of processor time and in the lane
of `make test`. In a copy with one error, the changed file must still import, and every named test must fail by an
assertion. A crash is no answer: a test that only crashes would not notice a wrong number.

Each run happens in a process of its own, forked from one that has loaded the libraries but not the project.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import py_compile
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/mutants.toml"
COPIED = ("aecore", "app", "tests", "pyproject.toml", "README.md", "Makefile")
LINKED = ("docs", "pretrained", "requirements.txt")
LONGEST = 10.0  # seconds of processor time that a named test may take
PARTS, SEED = 10, 0  # of the list, of which `--part` runs one, and of the choice which mutant is in which part
LANE = "not slow and not claim"
LIBRARIES = (
    "numpy",
    "torch",
    "torchvision",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.mixture",
    "sklearn.neighbors",
    "sklearn.svm",
    "PIL.Image",
    "pydantic",
    "jaxtyping",
    "beartype.claw",
    "streamlit.testing.v1",
    "plotly.graph_objects",
    "playwright.sync_api",
    "pytest",
)


@dataclass(frozen=True)
class Mutant:
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        line = (ROOT / self.file).read_text(encoding="utf-8").partition(self.text)[0].count("\n") + 1
        return f"{self.file}:{line}: {' '.join(self.text.split())} → {' '.join(self.replacement.split())}"

    def apply(self, project: Path) -> None:
        """Make the error in this copy of the project."""
        path = project / self.file
        date = path.stat().st_mtime
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.text, self.replacement), encoding="utf-8")
        # A compiled module counts as up to date if its source has the same size and date.
        os.utime(path, (date + 60, date + 60))


def read(*files: Path) -> list[Mutant]:
    """The mutants of these files, by default of the whole list."""
    entries = [entry for file in files or (LIST,) for entry in tomllib.loads(file.read_text("utf-8"))["mutant"]]
    return [Mutant(e["file"], e["text"], e["replacement"], tuple(e["tests"])) for e in entries]


def faults(mutants: Sequence[Mutant]) -> list[str]:
    """What is wrong with the list itself, without running anything."""
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text(encoding="utf-8").count(mutant.text) if path.exists() else 0
        name = f"{mutant.file}: {mutant.text!r}"
        if count != 1:
            found.append(f"{name} is there {count} times, not once")
        if mutant.text == mutant.replacement:
            found.append(f"{name} is replaced by itself")
        if (mutant.file, mutant.text) in seen:
            found.append(f"{name} is listed twice")
        if not mutant.tests:
            found.append(f"{name} names no test")
        seen.add((mutant.file, mutant.text))
        for test in mutant.tests:
            file, _, function = test.partition("::")
            source = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).exists() else ""
            if f"def {function.partition('[')[0].rpartition('::')[2]}(" not in source:
                found.append(f"{name} names {test}, which is not there")
    return found


class Record:
    """A plugin of pytest: what became of each test, and how much processor time it took."""

    def __init__(self):
        self.tests: dict[str, dict[str, Any]] = {}
        self.errors: list[str] = []
        self._start = 0.0

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        self._start = processor_time()
        self.tests[nodeid] = {"outcome": "", "error": "", "seconds": 0.0}

    def pytest_runtest_logfinish(self, nodeid: str, location: object) -> None:
        self.tests[nodeid]["seconds"] = processor_time() - self._start

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        name = call.excinfo.type.__name__
        if report.when == "call":
            self.tests[node.nodeid]["error"] = name
        else:
            self.errors.append(f"{node.nodeid}: {name}: {call.excinfo.value}")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:
            self.tests[report.nodeid]["outcome"] = report.outcome


def processor_time() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def answer(copy: Path, output: Path, tests: Sequence[str], changed: str) -> dict[str, Any]:
    """Run these tests in this copy of the project, in this process, which must not have loaded the project."""
    import pytest

    os.chdir(copy)
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
    os.environ["PYTHONPATH"] = str(copy)  # of processes that tests start
    sys.dont_write_bytecode = bool(changed)
    with open(output, "w") as log, redirect_stdout(log), redirect_stderr(log):
        if changed:
            importlib.import_module("tests.typecheck")
            try:
                if Path(changed).stem in ("__main__", "main"):  # importing these runs them
                    py_compile.compile(changed, doraise=True, cfile=str(output.with_suffix(".pyc")))
                else:
                    importlib.import_module(changed.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            except Exception:
                return {"errors": [f"{changed} does not import: {traceback.format_exc(limit=-1)}"], "tests": {}}
        record = Record()
        options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(copy), "--timeout=120", "-m", LANE]
        pytest.main([*options, "--tb=short", *tests], plugins=[record])
    return {"errors": record.errors, "tests": record.tests}


def copy_of(project: Path, target: Path) -> None:
    """A copy of the project's sources; large folders are linked."""
    target.mkdir()
    for name in COPIED:
        if (project / name).is_dir():
            kept_out = shutil.ignore_patterns("*.sqlite", "fixtures", ".study")
            shutil.copytree(project / name, target / name, ignore=kept_out)
        else:
            shutil.copy(project / name, target / name)
    for name in (*LINKED, "tests/fixtures"):
        (target / name).symlink_to((project / name).resolve())


@dataclass
class Job:
    tests: tuple[str, ...]
    mutant: Mutant | None = None


def run(jobs: Sequence[Job], master: Path, workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The answers of all jobs, as they come. Each runs in a process of its own.

    master: an unchanged copy. Jobs without a mutant run there, and leave compiled modules for the others, each of
    which runs in a copy of it.
    """
    running: dict[int, tuple[Job, Path, Path]] = {}
    waiting = list(enumerate(jobs))
    while waiting or running:
        while waiting and len(running) < workers:
            number, job = waiting.pop(0)
            place = master.parent / f"job {number}"
            place.mkdir()
            copy = place / "copy" if job.mutant else master
            if job.mutant:
                copy_of(master, copy)
                job.mutant.apply(copy)
            pid = os.fork()
            if not pid:
                try:
                    found = answer(copy, place / "output.txt", job.tests, job.mutant.file if job.mutant else "")
                    (place / "answer.json").write_text(json.dumps(found))
                finally:
                    os._exit(0)
            running[pid] = job, place, copy
        pid, _ = os.wait()
        if pid in running:
            job, place, copy = running.pop(pid)
            file = place / "answer.json"
            found = json.loads(file.read_text()) if file.exists() else {"errors": ["it ended early"], "tests": {}}
            shutil.rmtree(place)
            yield job, found


def of_test(found: dict[str, Any], test: str) -> list[dict[str, Any]]:
    """The results of a test: one, or one for each set of its parameters."""
    return [result for name, result in found["tests"].items() if name == test or name.startswith(f"{test}[")]


def why_not_clean(found: dict[str, Any], test: str) -> str:
    """Why this test is of no use in an unchanged copy; "" if it is."""
    results = of_test(found, test)
    if found["errors"]:
        return found["errors"][0]
    if not results:
        return f"not in the lane of `make test` ({LANE})"
    if any(result["outcome"] != "passed" for result in results):
        return "it does not pass in the unchanged project"
    if sum(result["seconds"] for result in results) > LONGEST:
        return f"it takes {sum(result['seconds'] for result in results):.1f} s, more than {LONGEST:.0f}"
    return ""


def why_alive(found: dict[str, Any], mutant: Mutant) -> str:
    """Why this mutant does not count as noticed; "" if every named test failed by an assertion."""
    if found["errors"]:
        return found["errors"][0]
    for test in mutant.tests:
        failed = [result for result in of_test(found, test) if result["outcome"] == "failed"]
        if not failed:
            return f"{test} passes"
        if not any(result["error"] in ("AssertionError", "Failed") for result in failed):
            return f"{test} fails by {failed[0]['error']}, not by an assertion"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Errors that the tests must notice.")
    parser.add_argument("files", nargs="*", type=Path, help="lists of mutants; by default tests/mutants.toml")
    parser.add_argument("-k", default="", metavar="WORDS", help="only those whose file, text or tests contain this")
    parser.add_argument("--part", type=int, metavar="N", help=f"only one of {PARTS} random parts of the list, from 0")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args(arguments)
    mutants = read(*chosen.files)
    wrong = faults(mutants)
    mutants = [m for m in mutants if chosen.k in " ".join((m.file, m.text, *m.tests))]
    if chosen.part is not None:
        mutants = [m for m in mutants if zlib.crc32(f"{SEED} {m.file} {m.text}".encode()) % PARTS == chosen.part]
    start = time.perf_counter()
    for name in LIBRARIES:
        importlib.import_module(name)
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = sorted({test.partition("::")[0] for test in tests})
    useless: dict[str, str] = {}
    alive = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        master = Path(folder) / "master"
        copy_of(ROOT, master)
        clean = [Job(tuple(test for test in tests if test.startswith(f"{file}::"))) for file in files]
        for job, found in run(clean, master, chosen.workers):
            useless |= {test: why for test in job.tests if (why := why_not_clean(found, test))}
        sound = [mutant for mutant in mutants if not useless.keys() & set(mutant.tests)]
        for job, found in run([Job(mutant.tests, mutant) for mutant in sound], master, chosen.workers):
            assert job.mutant
            if why := why_alive(found, job.mutant):
                alive += 1
                print(f"ALIVE  {job.mutant}\n       {why}", flush=True)
    wrong += [f"{test}: {why}" for test, why in useless.items()]
    for sentence in wrong:
        print(f"WRONG  {sentence}")
    spent = time.perf_counter() - start
    print(f"{len(sound) - alive} of {len(mutants)} mutants were noticed, in {spent:.0f} s.")
    return int(bool(wrong or alive or len(sound) < len(mutants)))


if __name__ == "__main__":
    sys.exit(main())
