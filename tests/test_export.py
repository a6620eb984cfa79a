"""What is taken away is what was trained: the same numbers, read back with other tools."""

from __future__ import annotations

import csv
import io
import runpy

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import aecore
from aecore.data.base import DataSpec
from aecore.explore import examples
from aecore.runs import export
from aecore.runs.library import create
from aecore.runs.session import Session

torch.set_num_threads(1)


def trained(path, model="vae", data="digits8", **params) -> aecore.Run:
    run = create(
        model,
        DataSpec(name=data, limit=300),
        params,
        aecore.Plan(epochs=2, batch=50, seed=3, held_out=60),
        path=path,
        title='A "quoted" title \\ with traps """',
    )
    assert Session(run).train("cpu") == "done", run.info.reason
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> aecore.Run:
    return trained(tmp_path_factory.mktemp("runs") / "vae", code=3, width=16)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("vae", {"code": 3, "width": 16}),
        pytest.param("deep", {"code": 4, "width": 64, "net": "conv"}, marks=pytest.mark.slow),
        pytest.param("linear", {"code": 2}, marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_torchs_numbers_for_any_batch(key, params, tmp_path):
    run = create(key, DataSpec(name="digits8"), params, path=tmp_path / "run")
    model = aecore.build(key, (1, 8, 8), **params).eval()
    run.save(shape=(1, 8, 8), status="done")
    run.save_model(model)
    files = export.onnx(run, tmp_path / "onnx")
    assert [file.name for file in files] == ["encoder.onnx", "decoder.onnx"]
    assert sorted(file.name for file in (tmp_path / "onnx").iterdir()) == ["decoder.onnx", "encoder.onnx"]
    encoder, decoder = (onnxruntime.InferenceSession(str(file)) for file in files)
    for size in (1, 2, 7):
        x = torch.rand(size, 1, 8, 8, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            z = model.encode(x)
            x_hat = model.decode(z).numpy()
        np.testing.assert_allclose(encoder.run(["code"], {"x": x.numpy()})[0], z.numpy(), atol=1e-4)
        np.testing.assert_allclose(decoder.run(["x_hat"], {"code": z.numpy()})[0], x_hat, atol=1e-4)


def test_codes_as_csv_and_npz_are_the_codes_of_their_ids(run):
    data, model = run.data(), run.model()
    expected = examples.codes(model, data.test, np.arange(40))
    rows = list(csv.DictReader(io.StringIO(export.codes_csv(run, "test", 40).decode())))
    assert list(rows[0]) == ["id", "label", "class", "z1", "z2", "z3"] and len(rows) == 40
    np.testing.assert_allclose([[float(row[f"z{j}"]) for j in (1, 2, 3)] for row in rows], expected, rtol=1e-6)
    assert [int(row["label"]) for row in rows] == data.test.labels[:40].tolist()
    assert all(row["class"] == data.classes[int(row["label"])] for row in rows)
    with np.load(io.BytesIO(export.codes_npz(run, "train")), allow_pickle=False) as file:
        assert file.files == ["ids", "codes", "labels", "class_names"]
        assert file["codes"].shape == (300, 3) and (file["ids"] == np.arange(300)).all()
        assert (file["labels"] == data.train.labels).all()


def test_rows_as_csv_hold_every_number(run):
    rows, _ = run.rows()
    table = list(csv.DictReader(io.StringIO(export.rows_csv(run).decode())))
    assert len(table) == len(rows)
    for line, row in zip(table, rows, strict=True):
        assert int(line["step"]) == row["step"] and float(line["train/kl"]) == row["train"]["kl"]
        assert line["test/recon"] == (repr(row["test"]["recon"]) if "test" in row else "")


def test_a_figure_as_csv_has_a_line_for_every_point():
    go = pytest.importorskip("plotly.graph_objects")
    figure = go.Figure([go.Scatter(x=np.array([1, 2]), y=[3.5, 4.5], name="recon"), go.Bar(x=["a"], y=[1])])
    assert export.figure_csv(figure).decode() == "trace,x,y\nrecon,1,3.5\nrecon,2,4.5\n2,a,1\n"
    heat = go.Figure(go.Heatmap(z=np.array([[1, 2], [3, 4]]), x=["p", "q"], y=["r", "s"], name="m"))
    assert export.figure_csv(heat).decode().splitlines() == ["trace,x,y,z", "m,p,r,1", "m,q,r,2", "m,p,s,3", "m,q,s,4"]
    assert export.figure_csv(go.Figure()) == b"trace\n"
    assert export.table_csv({"a": [1, None], "b": np.array([0.1, 2.0])}) == b"a,b\n1,0.1\n,2.0\n"


@pytest.mark.parametrize("colour", [(), (3,)])
def test_pictures_and_films_read_back(colour):
    frames = np.random.default_rng(0).integers(0, 256, (5, 12, 9, *colour)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(export.png(frames[0])))), frames[0])
    film = Image.open(io.BytesIO(export.gif(frames, fps=10)))
    assert film.n_frames == 5 and film.size == (9, 12) and film.info["duration"] == 100 and film.info["loop"] == 0
    if not colour:  # grey survives the palette exactly
        for k in range(5):
            film.seek(k)
            np.testing.assert_array_equal(np.asarray(film.convert("L")), frames[k])


def test_event_files_hold_the_rows(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(export.tensorboard(run, tmp_path / "events")), {"scalars": 0, "images": 0})
    events.Reload()
    rows, _ = run.rows()
    for half in ("train", "test"):
        kept = [(row["step"], row[half]["recon"]) for row in rows if half in row]
        found = [(event.step, event.value) for event in events.Scalars(f"{half}/recon")]
        np.testing.assert_allclose(found, kept, rtol=1e-6)
    assert len(events.Images("preview")) == len(run.steps("preview"))


@pytest.mark.parametrize("key", ["vae", pytest.param("denoising", marks=pytest.mark.slow)])
def test_the_snippet_runs_and_trains_the_same_model(key, run, tmp_path, monkeypatch, capsys):
    if key != "vae":
        run = trained(tmp_path / "run", key, code=4, width=16, noise="erasures")
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(export.snippet(run), encoding="utf-8")
    left = runpy.run_path(str(script))
    assert "epoch 2.00" in capsys.readouterr().out and (tmp_path / "preview.png").exists()
    expected = run.model().state_dict()
    for name, value in left["model"].state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_decoder_that_draws_pixel_after_pixel_says_why_it_has_no_onnx(tmp_path):
    params = {"code": 2, "width": 16, "maps": 8, "layers": 1}
    run = trained(tmp_path / "run", "pixelcnn_decoder", **params)
    with pytest.raises(aecore.RunError, match=r"pixel after pixel.*CSV"):
        export.onnx(run, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_exports_to_a_place_that_cannot_be_made_say_so(run, tmp_path):
    (tmp_path / "taken").write_text("a file")
    for write in (export.onnx, export.tensorboard):
        with pytest.raises(aecore.RunError, match="Choose another folder"):
            write(run, tmp_path / "taken" / "inside")
