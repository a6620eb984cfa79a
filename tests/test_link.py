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
from app.text import escape_html, escape_markdown
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


# --- edges of the kinds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "allowed", "refused"), [
    (Number("n", 2, 9), {"2": 2, "9": 9, "3.0": 3}, ("1", "10", "1.99", "9.01")),
    (Number("n", -1.5, 2.5), {"-1.5": -1.5, "2.5": 2.5}, ("-1.51", "2.51")),
    (Number("n", 3), {"3": 3, "123456789": 123456789}, ("2",)),
    (Flag("f"), {"true": True, "FALSE": False}, ("1", "0", "on", "")),
    (Flag("f").under("k"), {"1": True, "0": False, "True": True}, ("2", "on")),
    (Step("s"), {"0": 0, "99999": 99999}, ("100000", "-1", "1e3", "")),
    (Level("l"), {"-0.25": -0.25, "1e3": 1000.0}, ("nan", "inf", "-inf", "")),
    (Choice("c", ("a", "b"), label=str.upper), {"A": "a", "B": "b"}, ("a", "C", "")),
    (Choice("c", ("a", "b"), label=str.upper).under("k"), {"a": "a"}, ("A",)),
])  # fmt: skip
def test_ends_of_a_range_are_allowed_and_what_lies_behind_them_is_not(value, allowed, refused):
    for text, expected in allowed.items():
        try:
            found = value.read(text)
        except ValueError as error:
            pytest.fail(f"{text!r} was refused: {error}")
        assert found == expected and type(found) is type(expected), text
    for text in refused:
        try:
            found = value.read(text)
        except ValueError:
            continue
        raise AssertionError(f"{text!r} was read as {found!r}")


def test_what_is_allowed_is_said():
    for value, text, said in (
        (Number("n", 2, 9), "1", "n: '1' is not allowed; give a number from 2 to 9"),
        (Number("n", 0.5), "0", "n: '0' is not allowed; give a number from 0.5"),
        (Flag("f"), "on", "f: 'on' is not allowed; give true or false"),
        (Many("m", ("a", "b")), "c", "m: there is no 'c'; there are a, b"),
        (Step("s"), "x", "s: 'x' is not allowed; give the number of a step"),
    ):
        try:
            value.read(text)
        except FieldError as error:
            assert str(error) == said
        else:
            raise AssertionError(f"{text} was read")


def test_where_nothing_is_said_a_kind_begins_at_its_default():
    found = [
        Choice("c", "ab", "b").initial(), Choice("c", "ab", "z").initial(), Choice("c", "ab").initial(),
        Many("m", ("a", "b", "c"), ("c", "a", "z")).initial(), Many("m", ("a",)).initial(),
        Number("n", 2, 9).initial(), Number("n", 2, 9, 5).initial(), Number("n", 2, 9, 12).initial(),
        Number("n", 2, default=12).initial(), Flag("f").initial(), Flag("f", True).initial(), Line("l").initial(),
        Word("w").initial(), Step("s").initial(), Level("l").initial(), Point("p").initial(),
        dict(Numbered("n").initial()), dict(MapState("m").initial()),
    ]  # fmt: skip
    assert found == [
        "b", "a", "a", ["a", "c"], [], 2, 5, 9, 12, False, True, "", "", None, None, None, {}, {},
    ]  # fmt: skip


def test_numbers_keep_ten_digits_flags_are_small_and_words_are_as_they_are():
    texts = {0.1 + 0.2: "0.3", 1 / 3: "0.3333333333", 1e-5: "1e-05", 7: "7", True: "true", False: "false", "A b": "A b"}
    for value, text in texts.items():
        assert link.format_value(value) == text
    assert Level("l").write(1 / 3) == "0.333333" and Level("l").write(None) == ""
    assert Point("p").write({"at": (1 / 3, 0.6666), "step": 12}) == "0.333,0.667,12" and Point("p").write(None) == ""
    assert MapState("m").write({"zoom": [1.23456, -0.5, 2.0], "mosaic": True}) == "z1.235,-0.5,2_m"


def test_options_come_in_their_own_order_whatever_the_link_says():
    assert Many("m", (3, 1, 2), label="z{}".format).read("z2\nz3") == [3, 2]


def test_a_view_that_starts_at_its_place_is_not_said(monkeypatch):
    query, _ = session(monkeypatch)
    for value, start, other in (
        (Step("v", start=4), 4, 5),
        (Level("v", start=200.0), 200.0001, 200.001),
        (Level("v", start=0.0), 5e-7, 5e-6),
        (Point("v", start=2), {"at": [0.5, 0.5], "step": 2}, {"at": [0.5, 0.5], "step": 0}),
        (Numbered("v", size=3), {}, {0: 1.0}),
        (Word("v"), "", "x"),
    ):
        value.put(other)
        assert query.get("v") == value.write(other)
        value.put(start)
        assert "v" not in query


def test_numbered_things_are_counted_from_one_up_to_their_number():
    few = Numbered("z", size=3)
    assert few.read("3:1_4:1_1:-0.5") == {2: 1.0, 0: -0.5}
    assert few.write({2: 1.0, 0: -0.5, 1: 0.333333333}) == "1:-0.5_2:0.333333_3:1"
    assert len(Numbered("z", size=9999).read("_".join(f"{k}:1" for k in range(1, 4000)))) < 1500  # of a text so long


def test_a_map_takes_classes_and_places_within_reason():
    read = MapState("m").read
    assert read("h3,1,3,9999,10000,-1") == {"hidden": [1, 3, 9999]}
    assert read("c999999999,1_z1,2,1e9") == {"cursor": [999999999.0, 1.0]}
    assert read("c1,2,3_z1,2") == {} and read("m_t") == {"mosaic": True, "thumbnails": True}
    assert read("_" * 1999 + "t") == {"thumbnails": True} and read("_" * 2000 + "t") == {}


# --- links as a whole -------------------------------------------------------------------------------------------------


class Query(dict):
    """What `st.query_params` is, as far as a link is written as a whole."""

    writes = 0

    def to_dict(self) -> dict[str, str]:
        return dict(self)

    def from_dict(self, other: Mapping[str, str]) -> None:
        self.clear()
        self.update(other)
        self.writes += 1


def test_a_link_says_just_what_it_is_told_and_keeps_its_version(monkeypatch):
    query = Query({"a": "1", "v": "0"})
    monkeypatch.setattr(link.st, "query_params", query)
    link.write_only({"b": "2"})
    assert query == {"v": "0", "b": "2"} and query.writes == 1
    link.write_only({"b": "2"})
    assert query.writes == 1  # nothing is written where it says so already
    query.clear()
    link.write_only({})
    assert query == {"v": link.VERSION} and link.VERSION == "1"


def test_a_link_to_a_page_is_signed():
    assert link.to_page({"a": "1", "v": "0"}, run="x") == {"a": "1", "run": "x", "v": "1"}
    assert link.to_page() == {"v": "1"}


@pytest.mark.parametrize(
    ("said", "after", "told"),
    [({}, {}, 0), ({"a": "b"}, {"a": "b", "v": "1"}, 0), ({"v": "1"}, {"v": "1"}, 0), ({"v": "0"}, {"v": "0"}, 1)],
)
def test_a_run_of_the_script_signs_the_link_and_tells_of_another_version(monkeypatch, said, after, told):
    query, _ = session(monkeypatch)
    query.update(said)
    sentences: list[str] = []
    monkeypatch.setattr(link.st, "info", sentences.append)
    link.finish()
    assert query == after and len(sentences) == told


def test_a_run_is_forgotten_only_where_it_was_the_last_one(monkeypatch):
    _, state = session(monkeypatch)
    state["run"] = "a"
    link.forget_run("b")
    assert state == {"run": "a"}
    link.forget_run("a")
    assert state == {}


def test_a_setting_keeps_what_was_chosen_when_its_default_changes(monkeypatch):
    query, state = session(monkeypatch)
    first = Choice("n", (1, 2, 3), 2).under("k")
    assert first.now() == 2
    assert first.given(default=3).now() == 2 and state["chosen"] == {"k": 2}
    query["n"] = "3"
    assert first.now() == 3 == first.given(default=1).now()
    query["n"] = "9"
    assert first.now() == 2 and len(link.problems()) == 1
    assert link.problems()[0].startswith("n: there is no '9'")
    link.choose([(first, 1)])
    assert (query, link.problems(), first.now()) == ({"n": "1"}, [], 1)


def test_a_value_from_elsewhere_gets_a_new_widget(monkeypatch):
    _, state = session(monkeypatch)
    setting = Choice("n", (1, 2, 3)).under("k")
    value, binding = setting.bound()
    assert (value, binding["key"]) == (1, "k.0")
    state["k.0"] = 2  # the visitor chooses
    binding["on_change"]()
    assert setting.bound()[0] == 2 and setting.bound()[1]["key"] == "k.0"
    setting.put(3)  # a preset does
    assert setting.bound()[0] == 3 and setting.bound()[1]["key"] == "k.1"


def test_the_same_nonsense_is_told_once(monkeypatch):
    session(monkeypatch)
    toasts: list[str] = []
    monkeypatch.setattr(link.st, "toast", lambda sentence, **_: toasts.append(sentence))
    number = Number("x.n", 0, 9)
    assert [number.read_or_tell(text) for text in ("10", "10", "*", "", "5")] == [0, 0, 0, 0, 5]
    assert toasts == [
        escape_markdown(f"x.n: {text} The link’s value is left aside; 0 is taken.")
        for text in ("'10' is not allowed; give a number from 0 to 9.", "'*' is not allowed.")
    ]


# --- escaping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", list(r"\`*_{}[]()<>#+-.!|~$:^"))
def test_each_letter_that_markdown_reads_is_escaped(letter):
    assert escape_markdown(f"a{letter}b") == f"a\\{letter}b"


def test_other_letters_stay_and_html_is_escaped_within_attributes_too():
    assert escape_markdown("Ab 9,;ß'\"/") == "Ab 9,;ß'\"/"
    assert escape_html("<a b=\"c\" d='e'>&") == "&lt;a b=&quot;c&quot; d=&#x27;e&#x27;&gt;&amp;"


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
