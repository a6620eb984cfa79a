"""The command line: every command, and one line with status 2 for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecore import CATALOG, Run
from aecore.__main__ import main
from tests.naive import few

HERE = Path(__file__).resolve().parent.parent
TINY = ["--data", "digits", "--size", "8", "--limit", "200", "--batch", "20", "--held-out", "50"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path / "runs"))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert (
        main(["train", "vae", *TINY, "--epochs", "2", "--seed", "3", "--out", str(folder), "code=3", "width=32"]) == 0
    )
    return folder


@pytest.fixture
def say(capsys):
    """Run a command that must work; what it printed."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def shell(*arguments: str, **more) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "aecore", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


# --- every command --------------------------------------------------------------------------------------------


def test_models_lists_the_catalog(say):
    found = json.loads(say("models", "--json"))
    assert [item["key"] for item in found] == list(CATALOG)
    for item in found:
        entry = CATALOG[item["key"]]
        assert (item["name"], item["section"], list(item["params"])) == (entry.name, entry.section, list(entry.params))
    assert all(key in say("models") for key in CATALOG)


def test_train_prints_a_folder_in_runs_and_shows_terms(capsys):
    assert main(["train", "linear", *TINY, "--epochs", "1", "--lr", "0.01", "--title", "Mine", "code=2"]) == 0
    out, err = capsys.readouterr()
    run = Run.open(out.strip())
    assert run.path.parent == Path(os.environ["AECORE_RUNS"]) and run.info.title == "Mine"
    assert (run.info.plan.lr, run.info.plan.epochs, run.info.params["code"]) == (0.01, 1, 2)
    assert run.info.status == "done" and "recon=" in err and "100%" in err


@pytest.mark.parametrize("key", few(list(CATALOG), ("vae", "wgan", "i_autorec")))
def test_every_model_trains_and_is_there_afterwards(key, capsys):
    small = {"code": 3, "width": 16, "layers": 2, "critic_steps": 1}
    given = [f"{name}={value}" for name, value in small.items() if name in CATALOG[key].params]
    ratings = "ratings-items" if key == "i_autorec" else "ratings"
    data = TINY if "image" in CATALOG[key].kinds else ["--data", ratings, "--batch", "200", "--held-out", "50"]
    assert main(["train", key, *data, "--epochs", "1", *given]) == 0, capsys.readouterr().err
    run = Run.open(capsys.readouterr().out.strip())
    assert run.info.status == "done" and run.info.metrics and run.rows()[0]
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == run.info.metrics.keys()


def test_the_same_seed_gives_the_same_weights(trained, say, tmp_path):
    say("train", "vae", *TINY, "--epochs", 2, "--seed", 3, "--out", tmp_path / "again", "code=3", "width=32")
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()


def test_evaluate(trained, say):
    figures = json.loads(say("evaluate", trained, "--json"))
    assert figures["mse"] == pytest.approx(Run.open(trained).info.metrics["mse"])
    assert "psnr" in say("evaluate", trained)


def test_a_run_is_named_by_its_id_too(trained, say, monkeypatch):
    monkeypatch.setenv("AECORE_RUNS", str(trained.parent))
    assert "mse" in say("evaluate", "run")


def test_sample(trained, say, tmp_path):
    assert say("sample", trained, "-n", 9, "--out", "grid.png").strip() == "grid.png"
    assert Image.open(tmp_path / "grid.png").size[0] >= 3 * 8


def test_encode(trained, say):
    say("encode", trained, "--out", "codes.npz", "--limit", 40)
    assert np.load("codes.npz")["codes"].shape == (40, 3)
    say("encode", trained, "--data", "digits8", "--out", "codes.csv", "--limit", 5)
    assert len(Path("codes.csv").read_text().split()) == 6


def test_traverse(trained, say):
    say("traverse", trained, "--out", "strip.png", "--units", 2, "--steps", 5)
    assert Image.open("strip.png").size[0] > Image.open("strip.png").size[1]
    say("traverse", trained, "--out", "strip.gif", "--steps", 5)
    assert Image.open("strip.gif").n_frames > 4


@pytest.mark.slow
def test_export(trained, say):
    printed = say("export", trained, "--tensorboard", "events", "--snippet", "again.py")
    assert "again.py" in printed and list(Path("events").iterdir())
    compile(Path("again.py").read_text(), "again.py", "exec")
    say("export", trained, "--onnx", "nets")
    assert {path.name for path in Path("nets").glob("*.onnx")} == {"encoder.onnx", "decoder.onnx"}


def test_bench(say, monkeypatch):
    from aecore.bench import ours

    monkeypatch.setattr(ours, "main", lambda as_json: print("JSON" if as_json else "tables"))
    assert say("bench") == "tables\n" and say("bench", "--json") == "JSON\n"


# --- interrupted ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_pauses_and_resume_goes_on(tmp_path, say):
    run = tmp_path / "run"
    process = shell("train", "vae", *TINY, "--epochs", "10000", "--out", str(run), "code=2", "width=16")
    deadline = time.monotonic() + 60
    while not (run / "heartbeat.json").exists() or not Run.open(run).rows()[0]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip()) == (130, str(run))
    assert f"python -m aecore resume {run}" in err and "Traceback" not in err
    opened = Run.open(run)
    assert opened.info.status == "paused" and opened.model()
    step = opened.rows()[0][-1]["step"]
    opened.save(plan=opened.info.plan.model_copy(update={"epochs": step // 10 + 1}))
    assert say("resume", run).strip() == str(run)
    assert Run.open(run).info.status == "done" and Run.open(run).rows()[0][-1]["step"] > step


@pytest.mark.slow
def test_help_and_bad_input_from_a_shell():
    helped, bad = shell("--help"), shell("train", "vae", "gamma=4")
    out, err = helped.communicate(timeout=60)
    assert helped.returncode == 0 and not err
    for command in ("models", "train", "resume", "evaluate", "sample", "encode", "traverse", "export", "bench"):
        assert command in out
    out, err = bad.communicate(timeout=60)
    assert (bad.returncode, out, len(err.splitlines())) == (2, "", 1) and err.startswith("gamma: ")


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "field", "allowed"),
    [
        ("train vea", "model", "vae, beta_vae"),
        ("train vae code=0", "code", "a whole number from 1 to 256"),
        ("train vae code=2.5", "code", "a whole number from 1 to 256"),
        ("train vae code=nan", "code", "a whole number from 1 to 256"),
        ("train beta_vae beta=inf", "beta", "a number from 0 to 100"),
        ("train vae net=cnn", "net", "dense, conv"),
        ("train vae colour=red", "colour", "it has code"),
        ("train vae code", "code", "name=value"),
        ("train vae --data nope", "data", "digits, "),
        ("train vae --data images", "data", "path"),
        ("train vae --data images --path nowhere", "data", "nowhere"),
        ("train vae --size 7", "size", "greater than or equal to 8"),
        ("train vae --size 129", "size", "less than or equal to 128"),
        ("train vae --limit 1", "limit", "greater than or equal to 2"),
        ("train vae --epochs 0", "epochs", "greater than or equal to 1"),
        ("train vae --epochs many", "--epochs", "integer"),
        ("train vae --lr nan", "lr", "finite"),
        ("train vae --lr -1", "lr", "greater than 0"),
        ("train vae --precision fp8", "precision", "'auto', 'bf16' or 'fp32'"),
        ("train vae --device abacus", "--device", "cpu"),
        ("train vae --out {run}", "{run}", "another folder"),
        ("train", "model", "--help"),
        ("train vae --nonsense 3", "--nonsense", "--help"),
        ("dance", "dance", "--help"),
        ("resume {run}", "RUN", "is done"),
        ("resume nobody", "RUN", "no run"),
        ("evaluate .", "RUN", "no run"),
        ("evaluate ./nowhere", "RUN", "no run folder"),
        ("sample {run} -n 0", "-n", "greater than or equal to 1"),
        ("sample {run} --out grid.jpg", "--out", ".png"),
        ("sample {run} --out nowhere/grid.png", "--out", "could not be written"),
        ("sample {run} --temperature nan", "--temperature", "less than or equal to 10"),
        ("encode {run} --out codes.txt", "--out", ".npz or .csv"),
        ("encode {run} --split all", "--split", "test or train"),
        ("encode {run} --data nope", "data", "digits, "),
        ("traverse {run} --out strip.mp4", "--out", ".png or .gif"),
        ("traverse {run} --units 17", "--units", "16"),
        ("export {run}", "export", "--onnx DIR"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(trained, capsys, arguments, field, allowed):
    before = sorted(trained.rglob("*"))
    assert main([word.format(run=trained) for word in arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert field.format(run=trained) in err and allowed in err
    assert sorted(trained.rglob("*")) == before and not Path(os.environ["AECORE_RUNS"]).exists()


def test_a_model_that_cannot_is_told(say, capsys, tmp_path):
    say("train", "deep", *TINY, "--epochs", 1, "--out", tmp_path / "deep", "code=2", "width=32")
    assert main(["sample", str(tmp_path / "deep")]) == 2
    assert "cannot sample; it can decode, encode" in capsys.readouterr().err


def test_damaged_weights_are_one_line(trained, capsys, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/run.json").write_bytes((trained / "run.json").read_bytes())
    (tmp_path / "bad/weights.safetensors").write_text("no")
    assert main(["evaluate", str(tmp_path / "bad")]) == 2
    err = capsys.readouterr().err
    assert "damaged" in err and len(err.splitlines()) == 1
