"""The project's params.yaml is valid, and each slip gets one line that names the remedy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests import settings
from tests.settings import params

from hourglass import config
from hourglass.errors import ConfigError, UnknownNameError

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
LOSSES = (
    "'auto', a list of at least one loss, or such a list for each kind of column "
    "(continuous, binary, count, categorical)"
)
SECTIONS = "preprocess, normalize, model, search, train, ray, evaluate, register, tracking"


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """Gives the message for a params.yaml with one replacement, or for a whole text."""
    monkeypatch.chdir(tmp_path)

    def ask(old: str, new: str | None = None) -> str:
        assert new is None or old in TEXT
        Path("params.yaml").write_text(old if new is None else TEXT.replace(old, new, 1))
        with pytest.raises(ConfigError) as caught:
            config.load(Path("params.yaml"))
        return str(caught.value)

    return ask


def with_(old: str, new: str, tmp_path: Path) -> config.Params:
    assert old in TEXT
    (tmp_path / "params.yaml").write_text(TEXT.replace(old, new, 1))
    return config.load(tmp_path / "params.yaml")


def test_the_project_s_own_file_is_valid_and_each_value_says_why_beside_it():
    config.load(ROOT / "params.yaml")
    values = [line for line in TEXT.splitlines() if line.startswith("  ")]
    bare = {line.strip() for line in values if "#" not in line and "  - " not in line}
    plain = {"num_nodes", "image", "synthetic", "length", "stride", "rows", "columns"}
    assert {line.partition(":")[0] for line in bare} <= plain


def test_there_is_no_hidden_default():
    for section in config.Params.model_fields.values():
        assert section.is_required()
        assert all(f.is_required() for f in section.annotation.model_fields.values())


def test_keys_without_effect_exist():
    known = {
        f"{f.alias or name}.{key}"
        for name, f in config.Params.model_fields.items()
        for key in f.annotation.model_fields
    }
    assert known >= config.NO_EFFECT_ON_RESULTS


def test_parameters_are_frozen(tmp_path):
    params = with_("epochs: 60", "epochs: 61", tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        params.search.epochs = 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # where two types are allowed
        ("losses: auto", "losses: 3", f"search.losses must be {LOSSES}, got 3"),
        ("losses: auto", "losses: []", f"search.losses must be {LOSSES}, got []"),
        ("losses: auto", "losses: mse", f"search.losses must be {LOSSES}, got 'mse'"),
        ("losses: auto", "losses: atuo", f"search.losses must be {LOSSES}, got 'atuo', did you mean 'auto'?"),
        ("workers: auto", "workers: 0", "search.workers must be 'auto' or a whole number of at least 1, got 0"),
        ("workers: auto", "workers: true", "search.workers must be 'auto' or a whole number of at least 1, got true"),
        ("precision: 32-true", "precision: [1]", "train.precision must be a name such as '32-true', or a number of bits, got [1]"),
        # wrong types: no value is quietly turned into another
        ("epochs: 60", "epochs: sixty", "search.epochs must be a whole number, got 'sixty'"),
        ("epochs: 60", "epochs: '60'", "search.epochs must be a whole number, got '60'"),
        ("epochs: 60", "epochs: 60.0", "search.epochs must be a whole number, got 60.0"),
        ("epochs: 60", "epochs: true", "search.epochs must be a whole number, got true"),
        ("epochs: 60", "epochs:", "search.epochs must be a whole number, but is empty"),
        ("alpha: 0.05", "alpha: low", "evaluate.alpha must be a number, got 'low'"),
        ("source: builtin", "source: 3", "preprocess.source must be text, got 3: quote it, '3'"),
        ("drop: []", "drop: id", "preprocess.drop must be a list, such as [a, b], got 'id'"),
        ("kinds: {}", "kinds: [a]", "preprocess.kinds must be a section of `key: value` lines, got ['a']"),
        ("kinds: {}", "kinds: {0: binary}", "preprocess.kinds[0] must be text, got 0: quote it, '0'"),
        ("drop: []", "drop: [[a]]", "preprocess.drop[0] must be text, got ['a']"),
        # out of range
        ("- 128", "- 2000000", "model.hidden[0] must be at most 1048576, got 2000000"),
        ("epochs: 60", "epochs: 0", "search.epochs must be at least 1, got 0"),
        ("seeds: 5", "seeds: 1", "train.seeds must be at least 2, got 1"),
        ("alpha: 0.05", "alpha: 0", "evaluate.alpha must be greater than 0.0, got 0"),
        ("alpha: 0.05", "alpha: 1", "evaluate.alpha must be less than 1.0, got 1"),
        ("name: hourglass-autoencoder", "name: ''", "register.name must not be empty, got ''"),
        ("- 128", "- 128\n  - 0", "model.hidden[1] must be at least 1, got 0"),
        ("val_fraction: 0.15", "val_fraction: 0.85", "preprocess: val_fraction + test_fraction must be below 1: nothing is left to train on"),
        ("name: hourglass-autoencoder", "name: a/b", "register.name must be a name without /, : and ', got 'a/b'"),
        ("name: hourglass-autoencoder", "name: bob's", 'register.name must be a name without /, : and \', got "bob\'s"'),
        ("alias: champion", "alias: V2", "register.alias must be letters, digits, _ and -, but neither latest nor like v1: these are MLflow's own, got 'V2'"),
        ("anomaly_share: 0.01", "anomaly_share: 1", "register.anomaly_share must be at most 0.5, got 1"),
        # names
        ("missing: keep", "missing: drop", "preprocess.missing must be 'keep', 'drop_rows' or 'error', got 'drop', did you mean 'drop_rows'?"),
        ("- unit", "- unti", "normalize.scalers[0] must be 'unit', 'standard' or 'robust', got 'unti', did you mean 'unit'?"),
        ("kinds: {}", "kinds: {length (cm): real}", "preprocess.kinds.length (cm) must be 'continuous', 'binary', 'count' or 'categorical', got 'real'"),
        ("scalers: all", "scalers: every", "search.scalers must be 'all' or 'advised', got 'every'"),
        ("corruption: none", "corruption: gaus", "model.corruption must be 'none', 'mask' or 'gauss', got 'gaus', did you mean 'gauss'?"),
        ("pruner: none", "pruner: hyperband", "search.pruner must be 'none', 'median' or 'halving', got 'hyperband'"),
        ("allocation: equal", "allocation: race", "search.allocation must be 'equal' or 'racing', got 'race', did you mean 'racing'?"),
        ("patience: 0            # as", "patience: -1 # as", "train.patience must be at least 0, got -1"),
        ("split: auto", "split: rows", "preprocess.split must be 'auto', 'random', 'group' or 'time', got 'rows'"),
        ("colour: grey", "colour: gray", "preprocess.image.colour must be 'grey' or 'rgb', got 'gray', did you mean 'grey'?"),
        # losses for kinds of columns
        ("losses: auto", "losses: {real: [mse]}", f"search.losses must be {LOSSES}, got {{'real': ['mse']}}"),
        ("losses: auto", "losses: {count: []}", f"search.losses must be {LOSSES}, got {{'count': []}}"),
        # lists in lists, sections in sections
        ("hidden: []", "hidden: [64]", "search.hidden[0] must be a list, such as [a, b], got 64"),
        ("hidden: []", "hidden: [[64, 0]]", "search.hidden[0][1] must be at least 1, got 0"),
        ("size: []", "size: [8]", "preprocess.image.size must be [height, width] in pixels, or [] to keep it, got [8]"),
        ("size: []", "size: [8, 0]", "preprocess.image.size must be [height, width] in pixels, or [] to keep it, got [8, 0]"),
        ("stride: 8", "stride: 0", "preprocess.window.stride must be at least 1, got 0"),
        ("memory_mb: 1024", "memory_mb: 0", "train.memory_mb must be at least 1, got 0"),
        ("gpus: 0 ", "gpus: 2 ", "ray.gpus must be at most 1.0, got 2"),
        ("cpus: 1 ", "cpus: 0 ", "ray.cpus must be greater than 0.0, got 0"),
        (
            "address: ''",
            "address: node1",
            "ray.address must be '' (start Ray here), 'auto' (join the one that runs here), "
            "HOST:PORT or ray://HOST:PORT, got 'node1'",
        ),
        ("max_rows: 50000", "max_rows: 5e4", "search.max_rows must be a whole number, got 50000.0"),
        ("sparsity: 0.0", "sparsity: -1.0", "model.sparsity must be at least 0.0, got -1.0"),
        ("sparsity: 0.0", "sparsity: .inf", "model.sparsity must be a finite number, got inf"),
        ("corruption: none       # of the input while training (denoising): mask | gauss\n  corruption_amount: 0.15", "corruption: mask\n  corruption_amount: 1.0", "model: corruption_amount must be below 1 for mask: nothing is left to see"),
        ("variational: false", "variational: 1", "model.variational must be true or false, got 1"),
        ("missing_values: []", "missing_values: -9999", "preprocess.missing_values must be a list, such as [a, b], got -9999"),
        # the space of a loss
        ("space: {}", "space: {huber: {delta: 1}}", "search.space.huber.delta must be a list, such as [a, b], got 1"),
        ("space: {}", "space: {huber: {delta: [1]}}", "search.space.huber.delta[1] is missing"),
        ("space: {}", "space: {huber: {delta: [a, 2]}}", "search.space.huber.delta[0] must be a number, got 'a'"),
        ("space: {}", "space: {huber: {delta: [1, 2, 3]}}", "search.space.huber.delta must have no more than 2 entries, got [1, 2, 3]"),
    ],
)  # fmt: skip
def test_a_wrong_value_gets_one_line_with_place_value_and_what_is_allowed(
    answer, old, new, message
):
    assert answer(old, new) == f"params.yaml: {message}"


def test_a_list_that_needs_entries_may_not_be_empty(answer):
    tree = config.read_yaml(ROOT / "params.yaml")
    tree["normalize"]["scalers"] = []
    config.write_yaml(Path("tree.yaml"), tree)
    assert answer(Path("tree.yaml").read_text()) == (
        "params.yaml: normalize.scalers must have at least 1 entry, got []"
    )


def test_a_misspelt_key_is_answered_with_the_nearest(answer):
    assert answer("  experiment:", "  experimnet:") == (
        "params.yaml: tracking.experiment is missing\n"
        "params.yaml: tracking.experimnet is not known, did you mean 'experiment'? "
        "(known: experiment, system_metrics)"
    )


def test_a_misspelt_section_is_answered_with_the_nearest(answer):
    assert answer("\nregister:", "\nregistre:") == (
        "params.yaml: register is missing\n"
        "params.yaml: registre is not known, did you mean 'register'? "
        f"(known: {SECTIONS})"
    )


def test_a_section_without_content_lists_its_keys(answer):
    section = TEXT[TEXT.index("\n  experiment:") :]
    assert answer(section, "\n") == (
        "params.yaml: tracking must hold the keys experiment, system_metrics, but is empty"
    )


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "but is empty"),
        ("# only a comment\n", "but is empty"),
        ("- a\n- b\n", "got ['a', 'b']"),
        ("text\n", "got 'text'"),
    ],
)
def test_a_file_without_sections_lists_them(answer, text, got):
    assert answer(text) == f"params.yaml: the file must hold the keys {SECTIONS}, {got}"


def test_all_that_is_wrong_is_named_at_once(answer):
    text = TEXT.replace("epochs: 60", "epochs: 0").replace("alpha: 0.05", "alpha: 2")
    assert answer(text).splitlines() == [
        "params.yaml: search.epochs must be at least 1, got 0",
        "params.yaml: evaluate.alpha must be less than 1.0, got 2",
    ]


def test_a_repeated_key_is_refused_with_its_line(answer):
    assert answer("a: 1\nb: 2\na: 3\n") == (
        "params.yaml is not valid YAML: line 3, column 1: "
        'found duplicate key "a" with value "3" (original value: "1")'
    )


def test_a_tab_is_named_with_its_line_and_the_remedy(answer):
    assert answer("a:\n\tb: 2\n") == (
        "params.yaml is not valid YAML: line 2, column 1: "
        "found character '\\t' that cannot start any token; indent with spaces, not tabs"
    )


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value) == f"{path} is not UTF-8 text: byte 3 is wrong"


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path)
    assert str(caught.value) == f"{tmp_path} can't be read: Is a directory"


def test_a_missing_file_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert str(caught.value) == (
        f"params.yaml is missing in {tmp_path}: run from the folder that holds it, "
        "or name that folder with `hourglass -C DIR`"
    )


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    assert with_("alpha: 0.05", "alpha: 5e-2", tmp_path).evaluate.alpha == 0.05
    assert with_("margin: 0.005", "margin: 0", tmp_path).evaluate.margin == 0


def test_words_of_older_yaml_stay_words(tmp_path):
    assert with_("label: ''", "label: no", tmp_path).preprocess.label == "no"


def test_nested_lists_and_sections_are_taken(tmp_path):
    assert with_("hidden: []", "hidden: [[64], []]", tmp_path).search.hidden == ((64,), ())
    assert with_("size: []", "size: [8, 9]", tmp_path).preprocess.image.size == (8, 9)
    values = with_("missing_values: []", "missing_values: [-9999, '?']", tmp_path)
    assert values.preprocess.missing_values == (-9999, "?")


def test_losses_may_be_named_for_each_kind_of_column(tmp_path):
    losses = with_("losses: auto", "losses: {count: [poisson], binary: auto}", tmp_path)
    assert losses.search.losses == {"count": ("poisson",), "binary": "auto"}


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ("[mse, poison]", "search.losses[1]: unknown loss 'poison', did you mean 'poisson'?"),
        (
            "{count: [poisson, negbin]}",
            "search.losses.count[1]: unknown loss 'negbin', did you mean 'negative_binomial'?",
        ),
    ],
)
def test_an_unknown_loss_is_named_with_its_place(tmp_path, losses, message):
    with pytest.raises(UnknownNameError) as caught:
        with_("losses: auto", f"losses: {losses}", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/params.yaml: {message}")


def test_where_two_types_are_allowed_both_are(tmp_path):
    assert with_("losses: auto", "losses: [mse, bce]", tmp_path).search.losses == ("mse", "bce")
    assert with_("workers: auto", "workers: 2", tmp_path).search.workers == 2
    assert with_("precision: 32-true", "precision: 16", tmp_path).train.precision == 16


letters = st.characters(exclude_categories=["C", "Zl", "Zp"])  # ruamel loses U+0085
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(letters)
trees = st.recursive(
    values, lambda inner: st.lists(inner) | st.dictionaries(st.text(letters), inner), max_leaves=5
)


@given(section=st.sampled_from(SECTIONS.split(", ")), key=st.integers(0, 20), value=trees)
def test_any_value_is_taken_or_refused_in_words_that_name_its_key(
    tmp_path_factory, section, key, value
):
    tree = config.read_yaml(ROOT / "params.yaml")
    name = sorted(tree[section])[key % len(tree[section])]
    tree[section][name] = value
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    config.write_yaml(path, tree)
    message = _answer(path)
    place = f"{path}: {section}"
    assert message == "" or message.startswith((f"{place}.{name}", f"{place}: "))
    assert "Input should" not in message  # in our words, not pydantic's


def _answer(path: Path) -> str:
    try:
        config.load(path)
    except ConfigError as error:
        return str(error)
    return ""


@given(trees)
def test_what_is_written_as_yaml_is_read_back(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    config.write_yaml(path, tree)
    assert config.read_yaml(path) == tree


def test_a_race_needs_a_ruler_that_adds_up_over_rows():
    settings.params(search={"allocation": "racing", "objective": "code_length_masked"})
    with pytest.raises(ValidationError, match=r"allocation racing needs .* got 'rmse'.*: equal"):
        settings.params(search={"allocation": "racing", "objective": "rmse"})


@pytest.mark.parametrize(("given", "meant"), [(True, "on"), (False, "off"), ("off", "off")])
def test_the_gate_is_on_or_off_however_yaml_spells_it(given, meant):
    assert params(register={"gate": given}).register_.gate == meant


def test_the_gate_is_nothing_else():
    with pytest.raises(ValueError, match="'on' or 'off'"):
        params(register={"gate": "auto"})
