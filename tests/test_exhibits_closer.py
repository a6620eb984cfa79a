"""Each exhibit under the hand: dragged, its picture changes and its numbers with it; a comparison is trained."""

from __future__ import annotations

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from aecore import DataSpec, Plan
from aecore.errors import RunError
from aecore.jobs.queue import Queue
from aecore.jobs.sweeps import submit, varied
from aecore.paths import root
from aecore.runs import sweeps
from aecore.runs.library import create
from aecore.runs.session import Session
from app.cached import moments
from app.panels import train_sweep
from tests.chromium import PATIENCE, pixels, settled
from tests.naive import few
from tests.test_exhibits import opened

pytestmark = pytest.mark.timeout(300)


def at_page(tab, address: str, page: str) -> None:
    """The page, whole: its last line is there."""
    tab.goto(f"{address}/{page}")
    tab.get_by_text("Why", exact=True).last.wait_for()
    settled(tab)


def canvases(tab, selector: str, count: int):
    """So many canvases, once they are painted."""
    found = tab.locator(selector)
    for _ in range(PATIENCE // 100):
        if found.count() == count and all(pixels(canvas).any() for canvas in found.all()):
            return found
        tab.wait_for_timeout(100)
    raise AssertionError(f"{found.count()} of {count} canvases {selector}")


def drag(tab, place, start: tuple[float, float], end: tuple[float, float]) -> None:
    """The pointer pressed at one share of an element's box, let go at another."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()

    def at(u, v):
        return (box["x"] + u * box["width"], box["y"] + v * box["height"])

    tab.mouse.move(*at(*start))
    tab.mouse.down()
    tab.mouse.move(*at(*end), steps=6)
    tab.mouse.up()


def slide(tab, name: str, by: int) -> None:
    """A slider's thumb dragged to the right by so many pixels."""
    thumb = tab.get_by_role("slider", name=name).first.locator("xpath=../..")  # the round thing around the input
    thumb.scroll_into_view_if_needed()
    box = thumb.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + by, y, steps=6)
    tab.mouse.up()


def seen(canvases) -> list[np.ndarray]:
    return [pixels(canvas)[..., :3].astype(int) for canvas in canvases.all()]


def changed(tab, what, before: str) -> str:
    """The text of a locator, once it is another one."""
    handle = what.element_handle()
    tab.wait_for_function("([e, before]) => e.isConnected && e.innerText !== before", arg=[handle, before])
    return what.inner_text()


def numbers(at: AppTest) -> str:
    return " ".join(html.proto.body for html in at.get("html"))


# --- every page opens, and says what it must ------------------------------------------------------------------------


def test_a_deep_net_needs_less_than_pca_at_every_narrow_code():
    at = opened("bottleneck", bottleneck__image="5")
    shown = numbers(at)
    assert float(re.search(r">([0-9.]+) times that of the deep network", shown)[1]) > 1.2
    table = at.dataframe[0].value
    digits = table["as a share of their variance"].str.rstrip(" %").astype(float)
    noise = table["as a share of its variance "].str.rstrip(" %").astype(float)
    assert (digits < 25).all() and (noise > 50).all()  # copied where the data are, not everywhere
    seen, unseen = re.findall(r">([0-9.]+) seen, ([0-9.]+) unseen<", shown)[0]
    assert float(unseen) > 10 * float(seen)  # 32 images in one number


@pytest.mark.slow
def test_a_stronger_penalty_leaves_fewer_units_off_their_rest():
    rest = []
    for value in ("0.0", "0.5"):
        at = opened("regularizers", **{"regularizers__sparse-l1": value})
        table = at.dataframe[0].value.set_index("regularizer")
        rest.append(float(table["latent dimensions off their rest, per image"]["sparse, L1"].split()[0]))
    assert rest[1] < 0.7 * rest[0]
    assert list(table.index) == ["none", "sparse, L1", "sparse, KL", "denoising", "contractive"]


@pytest.mark.parametrize("noise", ["erasures", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_what_was_trained_on_damage_restores_more_of_it(noise):
    at = opened("denoising", denoising__noise=noise)
    shown = numbers(at)
    damaged, restored = (float(x) for x in re.findall(r">([0-9.]+) dB<", shown)[:2])
    before, after = (float(x) for x in re.findall(r">([0-9.]+) %<", shown)[:2])
    assert restored > damaged + 3 and after < 0.75 * before


def test_the_bound_is_the_sum_of_its_terms():
    at = opened("inside", inside__image="4", inside__draws="20")
    recon, kl, bound, truth = (float(x.replace("−", "-")) for x in re.findall(r">(−?[0-9.]+) nats<", numbers(at))[:4])
    assert bound == pytest.approx(-(recon + kl), abs=0.02) and truth > bound
    at = opened("inside", inside__decoder="Gaussian, c = 100")
    assert len(re.findall(r">(−?[0-9.]+) nats<", numbers(at))) >= 4


@pytest.mark.slow
def test_the_rate_falls_and_the_distortion_rises_with_beta():
    for identity in ("beta-sprites", "beta-digits"):
        sweep = sweeps.sweep(identity)
        assert len(sweep.values) >= 7
        (recon, _, seeds), (kl, _, _) = sweep.spread("test/recon"), sweep.spread("test/kl")
        assert (np.diff(kl) < 0).all() and (np.diff(recon) > 0).all() and (seeds >= 3).all()
    opened("beta")
    at = opened("beta", beta__data="digits")
    assert "no known factors" in " ".join(caption.value for caption in at.caption)


def test_transport_agrees_with_itself():
    at = opened("transport", transport__from="two moons", transport__to="a digit", transport__n="40")
    by_hand = re.search(
        r"the two curves, ([0-9.]+); the general solver gives ([0-9.]+)\.",
        " ".join(caption.value for caption in at.caption),
    )
    assert by_hand[1] == by_hand[2]
    w1, w2 = (float(x) for x in re.findall(r">([0-9.]{5,})<", numbers(at))[:2])
    assert 0 < w1 <= w2


def test_features_compare_sharper_than_pixels():
    at = opened("features")
    energies = [float(x) for x in re.findall(r">([0-9.]{6})</div><div", numbers(at))]
    images, by_pixels = energies[:2]
    assert by_pixels < images and max(energies[2:5]) > by_pixels


@pytest.mark.slow
def test_adversarial_and_layers_open_with_their_models():
    at = opened("adversarial")
    assert len(re.findall("of codes and prior", numbers(at))) == 4
    at = opened("layers")
    errors = [float(x) for x in re.findall(r">(0\.[0-9]{4})<", numbers(at))]
    assert len(errors) >= 3 and all(0 < error < 0.2 for error in errors)


# --- under the hand ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.browser
def test_bottleneck_a_drag_along_the_line_paints_other_images_in_all_three(address, tab):
    at_page(tab, address, "bottleneck")
    pictures, places = canvases(tab, ".planes.flat figure canvas", 3), tab.locator(".planes.flat .field")
    drag(tab, places.first, (0.5, 0.5), (0.1, 0.5))
    first = seen(pictures)
    drag(tab, places.first, (0.1, 0.5), (0.9, 0.5))
    assert all(np.abs(a - b).mean() > 3 for a, b in zip(first, seen(pictures), strict=True))
    tab.wait_for_url("**bottleneck.at=0.9**")


@pytest.mark.slow
@pytest.mark.browser
def test_regularizers_a_push_moves_pictures_and_codes(address, tab):
    at_page(tab, address, "regularizers")
    field, pictures = tab.locator(".planes .field").first, canvases(tab, ".planes figure canvas", 6)
    drag(tab, field, (0.5, 0.5), (0.52, 0.5))
    first, said = seen(pictures), tab.locator(".planes .value").all_inner_texts()
    drag(tab, field, (0.5, 0.5), (0.9, 0.2))
    assert all(np.abs(a - b).mean() > 2 for a, b in zip(first, seen(pictures), strict=True))
    later = tab.locator(".planes .value").all_inner_texts()
    moved = [float(re.search(r"[0-9.]+", text)[0]) for text in (*said[1:], *later[1:])]
    assert len(moved) == 10 and all(a < b for a, b in zip(moved[:5], moved[5:], strict=True))


@pytest.mark.slow
@pytest.mark.browser
def test_denoising_more_noise_changes_pictures_and_decibels(address, tab):
    at_page(tab, address, "denoising")
    words = tab.get_by_text(re.compile(r"plain network, [0-9.]+ dB"))
    said, sheet = words.inner_text(), canvases(tab, ".contact canvas", 60)
    before = seen(sheet)
    slide(tab, "Strength", 60)
    louder = changed(tab, words, said)
    assert float(re.search(r"[0-9.]+", louder)[0]) < float(re.search(r"[0-9.]+", said)[0])
    settled(tab)
    after = seen(canvases(tab, ".contact canvas", 60))
    differ = [np.abs(a - b).mean() for a, b in zip(before, after, strict=True)]
    assert max(differ[:12]) == 0 and min(differ[12:24]) > 1  # the originals stay, the damaged do not


@pytest.mark.slow
@pytest.mark.browser
def test_inside_a_vae_draws_move_and_algorithm_1_runs(address, tab):
    at_page(tab, address, "inside")
    plane = tab.locator(".planes").first
    ground, label = plane.locator(".field canvas").first, plane.locator(".label")
    last = label.inner_text()
    after = pixels(ground)
    plane.get_by_role("slider", name="Step").fill("0")
    assert label.inner_text() != last and np.abs(pixels(ground).astype(int) - after.astype(int)).mean() > 0.05
    picture = plane.locator("figure canvas")
    before = pixels(picture)
    drag(tab, plane.locator(".field"), (0.5, 0.5), (0.2, 0.8))
    assert np.abs(pixels(picture).astype(int) - before.astype(int)).mean() > 3
    settled(tab)
    tab.get_by_role("button", name="One line").click()
    settled(tab)
    lit = tab.get_by_text("◀")
    assert lit.count() == 1
    tab.get_by_text("fast", exact=True).click()
    settled(tab)
    tab.get_by_text("Run", exact=True).click()
    tab.wait_for_function(
        "() => /rounds\\s+([1-9][0-9]+|[1-9],[0-9]{3})/.test(document.querySelector('[data-testid=stMain]').innerText)"
    )


@pytest.mark.slow
@pytest.mark.browser
def test_beta_a_drag_over_the_track_changes_strips_and_numbers(address, tab):
    at_page(tab, address, "beta")
    ground, label = tab.locator(".planes .field canvas").first, tab.locator(".planes .label")
    said = tab.get_by_text(re.compile("KL of each latent dimension over"))
    first, before, step = said.inner_text(), pixels(ground), label.inner_text()
    drag(tab, tab.locator(".planes input[type=range]"), (0.34, 0.5), (0.98, 0.5))
    assert label.inner_text() != step
    assert np.abs(pixels(ground).astype(int) - before.astype(int)).mean() > 1
    assert changed(tab, said, first) != first
    tab.wait_for_url("**beta.at=**")


@pytest.mark.slow
@pytest.mark.browser
def test_transport_other_clouds_cost_otherwise_and_the_critic_climbs(address, tab):
    at_page(tab, address, "transport")
    main = tab.locator("[data-testid=stMain]")
    w1 = re.search(r"W₁\s+([0-9.]+)", main.inner_text())[1]
    slide(tab, "Points", 60)
    tab.wait_for_function(
        "w => !new RegExp('W₁\\\\s+' + w).test(document.querySelector('[data-testid=stMain]').innerText)", arg=w1
    )
    plan, before = tab.locator(".swarm canvas"), seen(canvases(tab, ".swarm canvas", 1))
    drag(tab, tab.locator(".swarm input[type=range]"), (0.02, 0.5), (0.9, 0.5))
    assert np.abs(before[0] - seen(plan)[0]).mean() > 0.5 and int(plan.get_attribute("data-step")) > 40
    tab.wait_for_url("**transport.carried=4*")
    settled(tab)
    tab.get_by_text("Train the critic", exact=True).click()
    tab.wait_for_function(
        "() => { const m = document.querySelector('[data-testid=stMain]').innerText"
        ".match(/estimate is ([0-9]+) % of it/); return m && Number(m[1]) > 40; }"
    )


@pytest.mark.slow
@pytest.mark.browser
def test_features_another_block_shows_other_maps(address, tab):
    at_page(tab, address, "features")
    maps = tab.locator("canvas").last
    before = pixels(maps)
    said = tab.get_by_text(re.compile("channels of block"))
    first = said.inner_text()
    slide(tab, "Block", 60)
    assert "block 2" in first and "block 2" not in changed(tab, said, first)
    settled(tab)
    after = pixels(tab.locator("canvas").last)
    assert after.shape != before.shape or np.abs(after.astype(int) - before.astype(int)).mean() > 1


@pytest.mark.slow
@pytest.mark.browser
def test_adversarial_one_pointer_for_four_priors_and_modes_by_moment(address, tab):
    at_page(tab, address, "adversarial")
    pictures = canvases(tab, ".planes figure canvas", 4)
    drag(tab, tab.locator(".planes .field").first, (0.2, 0.2), (0.25, 0.2))
    first = seen(pictures)
    drag(tab, tab.locator(".planes .field").first, (0.5, 0.5), (0.8, 0.7))
    assert sum(np.abs(a - b).mean() > 3 for a, b in zip(first, seen(pictures), strict=True)) >= 3
    settled(tab)
    fields = canvases(tab, ".swarm canvas", 3)
    before, said = seen(fields), tab.locator(".swarm .note").all_inner_texts()
    drag(tab, tab.locator(".swarm input[type=range]"), (0.98, 0.5), (0.02, 0.5))
    assert all(np.abs(a - b).mean() > 0.2 for a, b in zip(before, seen(fields), strict=True))
    later = tab.locator(".swarm .note").all_inner_texts()
    assert all("of 25 covered" in note and note != old for note, old in zip(later, said, strict=True))
    tab.wait_for_url("**adversarial.moment=0**")


@pytest.mark.slow
@pytest.mark.browser
def test_layers_an_earlier_moment_restores_less(address, tab):
    at_page(tab, address, "layers")
    said = tab.get_by_text(re.compile("learnt here"))
    first, before = said.inner_text(), seen(canvases(tab, ".contact canvas", 60))
    slide(tab, "After epoch", -400)
    assert "layer 1 alone" in changed(tab, said, first)
    settled(tab)
    after = seen(canvases(tab, ".contact canvas", len(before)))
    assert sum(np.abs(a - b).mean() > 1 for a, b in zip(before, after, strict=True)) > 12


@pytest.mark.slow
@pytest.mark.browser
def test_side_by_side_one_pointer_moves_four_decoders_over_the_plane_of_three_images(address, tab):
    at_page(tab, address, "compare")
    pictures = canvases(tab, ".planes figure canvas", 4)
    drag(tab, tab.locator(".planes .field").last, (0.3, 0.7), (0.25, 0.75))
    first = seen(pictures)
    drag(tab, tab.locator(".planes .field").last, (0.3, 0.7), (0.8, 0.7))
    assert all(np.abs(a - b).mean() > 3 for a, b in zip(first, seen(pictures), strict=True))
    tab.wait_for_url("**compare.at=0.8**")


@pytest.mark.parametrize("way", few(["three images", "two units", "one unit"], ["three images"]))
def test_side_by_side_spans_a_place_in_each_way(way):
    at = opened("compare", compare__way=way, compare__runs=["vae-16", "vae-2d"], compare__b="9")
    assert len(at.latex) == 1 and not at.info
    if way == "three images":
        at = opened("compare", compare__runs=["vae-16"], compare__a="4", compare__b="4")
        assert "the same code" in at.info[0].value


@pytest.mark.parametrize("code", few([2, 3], [2]))
def test_a_training_can_be_scrubbed_on_its_own_page(tmp_path, code):
    spec = DataSpec(name="digits", size=8, limit=300)
    run = create("vae", spec, {"code": code, "width": 16}, Plan(epochs=2, batch=50), path=root() / "scrub")
    Session(run).train("cpu")
    found = moments(run, (0, 1, 2))
    assert len(found.names) == len(run.steps("snapshots")) + 1 == len(found.tiles) > 3
    ends = np.abs(found.tiles[0].astype(int) - found.tiles[-1].astype(int)).mean()
    assert ends > 1 and (found.codes is None) == (code == 3) and len(found.marks) == (3 if code == 3 else 0)
    at = opened("run", run="scrub")
    assert "The plane through the training" in [header.value for header in at.subheader]


# --- a comparison of one's own --------------------------------------------------------------------------------------


def test_a_comparison_is_queued_at_once_and_read_as_far_as_it_is_trained(tmp_path, monkeypatch):
    recipe = {
        "id": "tiny",
        "title": "Tiny",
        "model": "beta_vae",
        "data": {"name": "mnist"},
        "shown": {"name": "digits8"},
        "vary": "beta",
        "values": [1.0, 4.0],
        "seeds": 3,
        "params": {"code": 2, "width": 16},
        "plan": {"batch": 50},
    }
    monkeypatch.setattr(sweeps, "recipes", lambda: [recipe])
    wanted = varied(recipe, [2.0, 8.0], {"name": "digits8"}, {"epochs": 1}, seeds=2)
    queue = Queue(tmp_path / "runs")
    group = submit(wanted, queue, "me")
    own = sweeps.members(group, queue.listing())
    assert group.startswith("tiny.") and len(own) == 4
    assert [(run.info.params["beta"], run.info.plan.seed) for run in own] == [(2, 0), (8, 0), (2, 1), (8, 1)]
    assert all(run.info.owner == "me" and run.info.status == "queued" and run.info.shown is None for run in own)
    assert sweeps.gathered(group, queue.listing()).runs == ()
    Session(own[1]).train("cpu")
    Session(own[3]).train("cpu")
    found = sweeps.gathered(group, Queue(tmp_path / "runs").listing())
    assert found.values == (8.0,) and found.runs[0].info.plan.seed == 0
    mean, deviation, seeds = found.spread("test/kl")
    assert seeds.tolist() == [2] and np.isfinite(mean).all() and np.isfinite(deviation).all()
    with pytest.raises(RunError, match="not here any more"):
        sweeps.gathered("tiny.ffffff", queue.listing())
    with pytest.raises(ValueError, match="beta"):
        submit(varied(recipe, [2.0, -1.0], {"name": "digits8"}, {}), queue, "me")
    assert len(queue.listing()) == 4  # nothing of it was written


def test_a_link_to_a_comparison_that_is_gone_shows_the_trained_examples():
    at = opened("features", own="features.000000")
    assert any("not here any more" in info.value for info in at.info)
    assert "gradient energy" in numbers(at)
    assert train_sweep.group_of("nothing") == ""


@pytest.mark.slow
@pytest.mark.browser
def test_a_comparison_trains_from_the_page_and_fills_it(address, tab):
    at_page(tab, address, "wasserstein")
    boxes = tab.get_by_text("Train this comparison yourself")
    boxes.first.scroll_into_view_if_needed()
    boxes.first.click()
    settled(tab)
    epochs = tab.get_by_role("spinbutton", name="Epochs").first
    epochs.fill("1")
    epochs.press("Enter")
    settled(tab)
    width = tab.get_by_role("spinbutton", name="Width").first
    width.fill("16")
    width.press("Enter")
    settled(tab)
    for name in ("WAE-MMD, Gaussian", "WAE-MMD, points", "WAE-GAN, points", "AAE"):
        tab.get_by_role("toolbar", name="Models").last.get_by_text(name, exact=True).click()
        settled(tab)
    tab.get_by_role("button", name="Train all 2").click()
    tab.wait_for_url("**own=planes.**")
    tab.get_by_text("Your comparison: 2 of 2 trained").wait_for(timeout=120_000)
    settled(tab)
    assert tab.locator(".planes").first.locator(".title").all_inner_texts() == ["VAE"]  # of both, the one that is usual
    tab.get_by_role("button", name="Show the trained examples").click()
    tab.wait_for_function("() => !location.search.includes('own=')")
    canvases(tab, ".planes >> nth=0 >> figure canvas", 4)
