"""The slow studies: `make study` runs them and writes what they measured to docs/study.md."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import torch

from tests.chromium import ROOT

KILLS = 20


def kills() -> str:
    """A training killed at 20 random moments, resumed each time, against one that was never interrupted."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_jobs.py", "-k", "killed"],
        cwd=ROOT, env=os.environ | {"AECORE_KILLS": str(KILLS)},
    )  # fmt: skip
    verdict = "bitwise the same weights as without" if done.returncode == 0 else "FAILED: see the test's output"
    return f"- kill −9 at {KILLS} random moments, resumed each time: {verdict} ({time.perf_counter() - start:.0f} s)"


def main() -> None:
    lines = ["# Studies", "", "Written by `make study`: what is too slow for `make test`.", ""]
    lines += [f"On {torch.get_num_threads()} threads of a CPU, torch {torch.__version__.split('+')[0]}.", "", kills()]
    (ROOT / "docs/study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    if any("FAILED" in line for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
