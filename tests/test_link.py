"""A page's state and the link: every kind of value reads what it writes, and links mean what they always meant."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from aecore import CATALOG
from aecore.errors import FieldError
from app import link, streamlit_internals
from app.state import Choice, Flag, Level, Line, Many, MapState, Number, Numbered, Point, Step, Word
from app.widgets import params as controls
from tests.chromium import ROOT

LETTERS = Choice("x.letter", ("a", "b", "c"))
KINDS = [
    (LETTERS, "b", "b"),
    (Choice("x.unit", (4, 0, 2), label="z{}".format), 2, "z2"),
    (Choice("x.size", (8, 16)).under("page.size"), 16, "16"),
    (Many("x.many", ("a", "b", "c")), ["a", "c"], "a\nc"),
    (Number("x.image", 0, 9), 7, "7"),
    (Number("x.sigma", 0.0, 1.2), 0.35, "0.35"),
    (Flag("x.flag"), True, "true"),
    (Line("x.line"), "a column", "a column"),
    (Word("own"), "beta-sprites.20", "beta-sprites.20"),
    (Step("x.step"), 12, "12"),
    (Level("x.at"), 0.0123457, "0.0123457"),
    (Point("x.at"), {"at": [0.25, 0.5], "step": 2}, "0.250,0.500,2"),
    (Numbered("z", size=40), {0: -0.5, 2: 1.25, 39: 3.0}, "1:-0.5_3:1.25_40:3"),
    (MapState("view"), {"cursor": [1.25, -0.5], "zoom": [0.0, 1.0, 2.0], "hidden": [0, 3], "thumbnails": True},
     "c1.25,-0.5_z0,1,2_h0,3_t"),
]  # fmt: skip


def session(monkeypatch) -> tuple[dict[str, str], dict[str, object]]:
    """A link and a session without a server."""
    query: dict[str, str] = {}
    state: dict[str, object] = {}
    monkeypatch.setattr(link.st, "query_params", query)
    monkeypatch.setattr(link.st, "session_state", state)
    return query, state


# --- kinds of values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "example", "text"), KINDS, ids=lambda part: type(part).__name__)
def test_every_kind_reads_what_it_writes(value, example, text):
    assert value.write(example) == text and value.read(text) == example


@pytest.mark.parametrize(("value", "texts"), [
    (LETTERS, ("d", "A")),
    (Many("x.many", ("a", "b")), ("c",)),
    (Number("x.image", 0, 9), ("10", "-1", "nan", "inf", "seven")),
    (Number("x.sigma", 0.0, 1.2), ("1.3", "-0.1", "1e999")),
    (Flag("x.flag"), ("yes", "1")),
    (Step("x.step"), ("-1", "1.5", "123456", "x")),
    (Level("x.at"), ("nan", "inf", "high")),
    (Point("x.at"), ("a,b,c", "0.5,0.5", "0.5,0.5,x")),
])  # fmt: skip
def test_nonsense_has_no_value(value, texts):
    for text in texts:
        with pytest.raises(ValueError):
            value.read(text)


def test_a_refusal_names_what_is_allowed_and_what_is_taken():
    with pytest.raises(FieldError) as error:
        LETTERS.read("d")
    sentence = LETTERS.refusal("d", error.value)
    assert sentence == "x.letter: there is no 'd'; there are a, b, c. The link’s value is left aside; a is taken."
    assert Point("x.at").refusal("?", ValueError()) == "x.at: '?' is not allowed. The link’s value is left aside."


def test_a_pointer_stays_on_its_plane():
    assert Point("x").read("7,-1,-3") == {"at": [1.0, 0.0], "step": 0}


def test_parts_of_a_text_that_do_not_fit_are_left_out():
    assert Numbered("z", size=40).read("1:2_x_99:1_3:nan_4:1e9_:_2:-1_0:5") == {0: 2.0, 1: -1.0}
    assert MapState("view").read("c1_z1,2,inf_hx_q_t9_cnan,1__h-1") == {"hidden": []}
    assert MapState("view").write({"cursor": None, "hidden": [], "thumbnails": False}) == ""
    assert Many("x", ("a", "b")).read("c\nb") == ["b"]


@given(some.text(max_size=40))
def test_no_text_breaks_a_kind(text):
    for value, _, _ in KINDS:
        try:
            value.read(text)
        except ValueError:
            continue


def test_a_range_is_given_where_it_is_known():
    image = Number("x.image", 0)
    assert image.given(most=5, default=7).initial() == 5 and image.most is None
    assert LETTERS.given(options=("c", "d"), default="a").initial() == "c"
    assert LETTERS.of("digits").name == "x.letter.digits"


# --- values that no widget holds ------------------------------------------------------------------------------------


def test_a_kept_value_stands_in_the_link_unless_the_view_starts_there(monkeypatch):
    query, _ = session(monkeypatch)
    at = Point("x.at").given(start=3)
    assert at.get() is None
    at.put({"at": [0.1, 0.9], "step": 1})
    assert query == {"x.at": "0.100,0.900,1"} and at.get() == {"at": [0.1, 0.9], "step": 1}
    at.put({"at": [0.5, 0.5], "step": 3})
    assert not query
    Step("x.step").put(4)
    Level("x.level", start=0.5).put(0.5 + 1e-9)
    assert query == {"x.step": "4"}


def test_what_was_marked_on_one_run_is_not_shown_on_another(monkeypatch):
    query, _ = session(monkeypatch)
    query["z"] = "1:2"
    moved = Numbered("z", size=3)
    assert moved.get("first") == {0: 2.0}
    moved.put({0: 2.0}, "first")
    assert moved.get("second") == {}
    moved.put({}, "second")
    assert "z" not in query and moved.get("first") == {}  # only the last one's is remembered
    every = Word("name", each=True)
    every.put("A", "first")
    every.put("B", "second")
    assert (every.get("first"), every.get("second"), query["name"]) == ("A", "B", "B")


def test_a_run_is_remembered_from_page_to_page(monkeypatch):
    query, state = session(monkeypatch)
    assert link.requested_run() == ""
    link.set_run("vae-2d")
    assert query == {"run": "vae-2d"} and state["run"] == "vae-2d"
    query.clear()
    assert link.requested_run() == "vae-2d"
    query["run"] = "deep-16"
    assert link.requested_run() == "deep-16"
    link.forget_run("vae-2d")
    query.clear()
    assert link.requested_run() == ""


# --- values that a widget holds -------------------------------------------------------------------------------------


def widgets() -> None:
    import streamlit as st

    from app import link
    from app.state import Choice, Flag, Line, Many, Number

    letter = Choice("x.letter", ("a", "b", "c"))
    unit = Choice("x.unit", label="z{}".format).given(options=[4, 0, 2], default=0)
    st.session_state["seen before"] = [letter.now(), Number("x.image", 0, 9).now()]
    st.session_state["now"] = [
        letter.option("Letter"), unit.box("Unit"), Choice("x.n", (6, 12), 12).slider("Images"),
        Many("x.many", ("a", "b", "c"), ("a",)).pills("Many"), Number("x.image", 0, 9).number("Image"),
        Number("x.sigma", 0.0, 1.2, 0.5, 0.05).slider("σ"), Flag("x.flag").toggle("Flag"), Line("x.line").input("Line"),
    ]  # fmt: skip
    st.button("next", on_click=lambda: Number("x.image", 0, 9).put(Number("x.image", 0, 9).now() + 1))
    link.finish()


DEFAULTS = ["a", 0, 12, ["a"], 0, 0.5, False, ""]


def opened(query: Mapping[str, str | list[str]]) -> AppTest:
    at = AppTest.from_function(widgets)
    for name, text in query.items():
        at.query_params[name] = text
    at.run()
    assert not at.exception
    return at


def query_of(at: AppTest, name: str) -> list[str]:
    text = at.query_params.get(name, [])
    return [text] if isinstance(text, str) else text


def test_a_link_sets_widgets_and_is_signed():
    query = {"x.letter": "b", "x.unit": "z2", "x.n": "6", "x.many": ["b", "c"], "x.image": "7", "x.sigma": "0.35",
             "x.flag": "true", "x.line": "kind"}  # fmt: skip
    at = opened(query)
    assert at.session_state["now"] == ["b", 2, 6, ["b", "c"], 7, 0.35, True, "kind"]
    assert at.session_state["seen before"] == ["b", 7] and not at.toast
    assert query_of(at, "v") == [link.VERSION]
    for name, text in query.items():
        assert query_of(at, name) == (text if isinstance(text, list) else [text])


def test_a_link_does_not_name_defaults():
    at = opened({"x.letter": "a", "x.sigma": "0.50"})
    assert at.session_state["now"] == DEFAULTS and not at.toast
    assert not [name for name in at.query_params if name.startswith("x.")]


def test_a_text_that_a_widget_cannot_take_is_answered_once():
    at = opened({"x.letter": "[d](e)", "x.image": "10", "x.many": "d", "x.flag": "maybe"})
    assert at.session_state["now"] == DEFAULTS
    sentences = [toast.value.replace("\\", "") for toast in at.toast]
    assert len(sentences) == 4 and all("left aside" in sentence for sentence in sentences)
    assert not any("[d](" in toast.value for toast in at.toast)  # as it is, not as Markdown
    assert not at.run().toast


def test_a_callback_moves_a_widget_and_its_link():
    at = opened({"x.image": "3"})
    at.button[0].click().run()
    assert at.session_state["now"][4] == 4 and query_of(at, "x.image") == ["4"]


def test_what_a_link_loses_on_the_way_is_put_back():
    """The same on a real page: tests/test_exhibits.py."""
    at = opened({})
    at.segmented_control[0].set_value("c")
    at.number_input[0].set_value(5).run()
    for name in ("x.letter", "x.image"):
        del at.query_params[name]
    at.run()
    assert (query_of(at, "x.letter"), query_of(at, "x.image")) == (["c"], ["5"])


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_setting_is_named_at_its_default_too_and_has_a_value_for_each_key(monkeypatch):
    query, _ = session(monkeypatch)
    first, second = (Choice("code", (2, 16), 16).under(key) for key in ("train.vae", "train.deep"))
    assert first.now() == 16
    first.put(2)
    assert query == {"code": "2"} and first.now() == 2
    query.clear()
    assert second.now() == 16 and first.now() == 2
    link.choose([(first, 16)])
    assert query == {"code": "16"}
    query["code"] = "3"
    assert second.now() == 16
    assert link.problems() == ["code: there is no '3'; there are 2, 16. The link’s value is left aside; 16 is taken."]
    second.put(2)
    assert not link.problems()


def test_a_setting_that_is_no_longer_allowed_falls_back(monkeypatch):
    query, _ = session(monkeypatch)
    choice = Choice("data").under("train.data")
    choice.given(options=("digits", "faces")).put("faces")
    query.clear()
    assert choice.given(options=("ratings",)).now() == "ratings"


@pytest.mark.parametrize("key", CATALOG)
def test_hyperparameters_keep_their_names_and_texts(key, monkeypatch):
    query, _ = session(monkeypatch)
    entry = CATALOG[key]
    for name, param in entry.params.items():
        setting = controls.parameter(entry, "train", name)
        assert setting.name == name and setting.now() == param.default
        assert setting.read(setting.write(param.default)) == param.default
    controls.preset(entry, "train", {}, {})
    assert set(query) == {*entry.params, *(f"train.{name}" for name in controls.Plan.model_fields)}


# --- Streamlit ------------------------------------------------------------------------------------------------------


def test_streamlit_is_the_minor_version_that_was_tested():
    version = importlib.metadata.version("streamlit")
    assert version.split(".")[:2] == streamlit_internals.TESTED.split(".")
    major, minor = map(int, streamlit_internals.TESTED.split("."))
    assert f"streamlit>={major}.{minor},<{major}.{minor + 1}" in (ROOT / "requirements.txt").read_text()


def private() -> None:
    """What `streamlit_internals` uses of Streamlit, in a session with one widget that is bound to the link."""
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    st.toggle("Flag", key="flag", bind="query-params", persist_state="session")
    context = get_script_run_ctx()
    with context.session_state.query_params() as parameters:
        (binding,) = parameters._bindings_by_widget.values()
        assert (binding.param_key, binding.value_type) == ("flag", "bool_value")
        assert binding.widget_id in context.shared.widget_ids_this_run
        widget = context.session_state._state.get_widget_metadata(binding.widget_id)
        assert context.session_state._state["flag"] is False is widget.deserializer(None)
        assert not parameters.has_param("flag")
        parameters.set_corrected_value("flag", widget.serializer(True), binding.value_type)
        assert parameters.has_param("flag")
    assert st.query_params["flag"] == "true"


def test_the_private_names_are_where_they_were():
    """Where this fails, Streamlit has changed: look for their new places, or links lose what visitors choose."""
    at = AppTest.from_function(private).run()
    assert not at.exception, [error.message for error in at.exception]
    from streamlit.web import cli

    assert callable(cli.main)
    (script,) = [point for point in importlib.metadata.entry_points(group="console_scripts", name="streamlit")]
    assert script.value == "streamlit.web.cli:main"


def test_the_script_that_draws_figures_is_found():
    assert streamlit_internals.figure_script()


def test_one_file_alone_uses_what_streamlit_does_not_promise():
    private = re.compile(r"streamlit\.(runtime|web|elements|proto|delta_generator|__file__)|get_script_run_ctx|\bst\._")
    files = (ROOT / "app").rglob("*.py")
    found = [file.relative_to(ROOT).as_posix() for file in files if private.search(file.read_text("utf-8"))]
    assert found == ["app/streamlit_internals.py"]
