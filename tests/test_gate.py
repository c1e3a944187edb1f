"""Who becomes the champion: by code lengths of the same rows, tested as the verdict's are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.fits import make_files, spec

from hourglass import gate, trials
from hourglass.bundle import Bundle
from hourglass.gate import Decision, Evidence, Incumbent, Terms
from hourglass.schema import Kind

TERMS = Terms(alpha=0.05, margin=0.005, ruler="bits per feature")
ROWS = 320
rng = np.random.default_rng(0)
COST = rng.gamma(4.0, 5.0, ROWS)  # of each row under some model: rows differ far more than models


def evidence(rows: int = ROWS, group_N=None, values: int = 10) -> Evidence:
    unit_N, unit = gate.units(rows, group_N)
    return Evidence(np.full(rows, float(values)), np.ones(rows), unit_N, unit)


def decided(new_N, incumbent=None, baseline_N=COST + 9, own=None) -> Decision:
    return gate.decide(new_N, {"pca": baseline_N}, own or evidence(len(new_N)), incumbent, TERMS)


# --- one model against another --------------------------------------------------------------------


def test_a_model_that_saves_bits_on_the_rows_is_better_by_what_it_saves_a_value():
    saved_N = rng.normal(1.0, 2.0, ROWS)
    found = gate.compare("version 3", COST - saved_N, COST, evidence(), TERMS)
    assert found.said == "better"
    assert found.difference == pytest.approx(-saved_N.mean() / 10)
    assert found.low < found.difference < found.high < 0
    assert found.new_bits - found.other_bits == pytest.approx(found.difference)
    assert (found.rows, found.units) == (ROWS, 32)
    turned = gate.compare("version 3", COST, COST - saved_N, evidence(), TERMS)
    assert turned.said == "worse"
    assert (turned.difference, turned.low) == pytest.approx((-found.difference, -found.high))
    assert turned.p == found.p


def test_what_saves_less_than_the_margin_is_tied_however_sure_it_is():
    found = gate.compare("version 3", COST - 0.04, COST, evidence(), TERMS)
    assert (found.said, found.p) == ("tied", 0.0)
    assert gate.compare("version 3", COST - 0.06, COST, evidence(), TERMS).said == "better"


def test_what_luck_may_explain_is_tied():
    noise_N = rng.normal(0.0, 20.0, ROWS)
    new_N = COST - 1.0 + noise_N - noise_N.mean()
    found = gate.compare("version 3", new_N, COST, evidence(), TERMS)
    assert found.said == "tied"
    assert found.difference < -TERMS.margin
    assert found.p > TERMS.alpha


@pytest.mark.parametrize("tails", [3, 30])
def test_of_equal_models_one_in_forty_passes(tails):
    """Two-sided at 5 %, of which one side promotes; a margin of 0 is the hardest case."""
    draws, own, terms = 1000, evidence(), replace(TERMS, margin=0.0)
    rng = np.random.default_rng(tails)
    said = [
        gate.compare("x", rng.standard_t(tails, ROWS), np.zeros(ROWS), own, terms).said
        for _ in range(draws)
    ]
    assert 0.01 < said.count("better") / draws < 0.04


def test_rows_of_one_group_are_one_piece_of_evidence():
    """A survivor of a wrong unit: 16 groups that share their luck pass as 320 rows would."""
    draws, terms = 400, replace(TERMS, margin=0.0)
    group_N = np.repeat(np.arange(16), 20)[np.random.default_rng(1).permutation(ROWS)]
    rng = np.random.default_rng(2)
    shares = {}
    for name, own in (("groups", evidence(group_N=group_N)), ("rows", evidence())):
        passed = 0
        for _ in range(draws):
            luck_N = rng.normal(size=16)[group_N] + 0.3 * rng.normal(size=ROWS)
            passed += gate.compare("x", luck_N, np.zeros(ROWS), own, terms).said == "better"
        shares[name] = passed / draws
    assert shares["groups"] < 0.05
    assert shares["rows"] > 0.1


def test_units_are_groups_or_runs_of_neighbours():
    unit_N, name = gate.units(6, np.array([7, 3, 7, 9, 3, 9]))
    assert (unit_N.tolist(), name) == ([1, 0, 1, 2, 0, 2], "groups")
    unit_N, name = gate.units(64, None)
    assert (np.bincount(unit_N).tolist(), name) == ([2] * 32, "blocks of neighbouring rows")
    assert (np.diff(unit_N) >= 0).all()
    assert gate.units(3, None)[0].tolist() == [0, 1, 2]


def test_the_mean_of_the_units_is_that_of_all_rows_whatever_the_gaps_and_weights():
    seen_N = rng.integers(1, 10, 40).astype(float)
    weight_N, bits_N = rng.integers(1, 4, 40).astype(float), rng.gamma(2.0, 3.0, 40)
    own = Evidence(seen_N, weight_N, *gate.units(40, rng.integers(0, 7, 40)))
    mean = (weight_N * bits_N).sum() / (weight_N * seen_N).sum()
    assert own.mean(bits_N) == pytest.approx(mean)
    assert own.by_unit(bits_N).mean() == pytest.approx(mean)
    assert len(own.by_unit(bits_N)) == 7


# --- who gets in ----------------------------------------------------------------------------------


def test_the_first_model_must_beat_the_baselines_alone():
    found = decided(COST)
    assert (found.outcome, found.promotes, found.incumbent) == ("first", True, None)
    said = found.sentence(1, "champion")
    assert said.startswith("version 1 becomes @champion, the first: ")
    assert "on 320 test rows, -0.9000 (-0.9000 to -0.9000, p 0) against pca" in said


def test_a_model_that_beats_the_champion_but_no_baseline_stays_out_and_hears_what_to_do():
    found = decided(COST, Incumbent(3, COST + 5), baseline_N=COST - 1)
    assert (found.outcome, found.promotes) == ("baseline", False)
    said = found.sentence(4, "champion")
    assert "version 4 is not promoted (version 3 stays @champion)" in said
    assert "+0.1000 (+0.1000 to +0.1000, p 0) against pca" in said
    assert "`hourglass promote 4 --reason ...`" in said


def test_every_baseline_must_be_beaten():
    near = {"mean": COST + 9, "pca": COST + 0.01, "median": COST + 9}
    found = gate.decide(COST, near, evidence(), None, TERMS)
    assert found.outcome == "baseline"
    assert found.decisive is not None
    assert found.decisive.other == "pca"


@pytest.mark.parametrize(
    ("ahead", "outcome", "promotes"),
    [(1.0, "better", True), (0.0, "tied", False), (0.03, "tied", False), (-1.0, "worse", False)],
)
def test_the_champion_stays_unless_the_new_model_is_better(ahead, outcome, promotes):
    found = decided(COST - ahead, Incumbent(3, COST))
    assert (found.outcome, found.promotes, found.incumbent) == (outcome, promotes, 3)
    assert found.decisive is not None
    assert found.decisive.other == "version 3"
    said = found.sentence(4, "champion")
    assert ("version 4 becomes @champion" in said) == promotes
    assert ("version 3 stays @champion" in said) != promotes


def test_a_champion_without_files_need_not_be_beaten():
    found = decided(COST, Incumbent(3, lost=True))
    assert found.promotes
    assert "becomes @champion, version 3 has lost its files:" in found.sentence(4, "champion")


def test_what_does_not_compare_is_left_to_people():
    found = decided(COST, Incumbent(3, why_not="column 'a' is new"))
    assert (found.outcome, found.promotes, found.decisive) == ("incomparable", False, None)
    said = found.sentence(4, "champion")
    assert "it can't be compared with version 3: column 'a' is new" in said
    assert "`hourglass promote 4 --reason ...`" in said


def test_a_champion_without_a_finite_code_length_does_not_compare():
    broken_N = COST.copy()
    broken_N[7] = np.inf
    found = decided(COST, Incumbent(3, broken_N))
    assert found.outcome == "incomparable"
    assert "version 3 gives no finite code length" in found.why


def test_rows_that_the_champion_was_trained_on_are_left_out():
    known_N = np.arange(ROWS) < 100
    learned_N = np.where(known_N, 0.0, COST)  # it knows them by heart
    assert decided(COST - 1, Incumbent(3, learned_N)).outcome == "worse"
    found = decided(COST - 1, Incumbent(3, learned_N, ~known_N))
    assert found.outcome == "better"
    assert found.decisive is not None
    assert found.decisive.rows == 220
    said = found.sentence(4, "champion")
    assert "100 more test rows are left out, version 3 was trained on them" in said


def test_a_champion_that_was_trained_on_nearly_all_rows_does_not_compare():
    found = decided(COST - 1, Incumbent(3, COST, np.arange(ROWS) < 9))
    assert found.outcome == "incomparable"
    assert "version 3 was trained on 311 of the 320 test rows" in found.why


def test_one_group_is_no_evidence_for_others():
    found = decided(COST, own=evidence(group_N=np.zeros(ROWS)))
    assert (found.outcome, found.promotes) == ("incomparable", False)
    assert "the test rows are of 1 group" in found.sentence(1, "champion")


def test_a_decision_comes_back_from_json_as_it_was():
    found = decided(COST - 1, Incumbent(3, COST))
    assert Decision.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_every_outcome_has_a_sentence():
    outcomes = ("incomparable", "withdrawn", "off", "same", "settings")
    assert all(Decision(name, 3).sentence(4, "champion") for name in outcomes)
    assert [Decision(name, 3).promotes for name in outcomes] == [False] * 2 + [True] * 3


# --- which models compare -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    root = make_files(tmp_path_factory.mktemp("fit"))
    trials.run(replace(spec(root), save_to=root / "bundle"))
    return Bundle.load(root / "bundle")


def changed(bundle: Bundle, **column) -> Bundle:
    first, *others = bundle.schema.columns
    columns = (replace(first, **column), *others)
    return replace(bundle, schema=replace(bundle.schema, columns=columns))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"resolution": 0.25}, "column 'c0' had the resolution 0.25, and has 0.5 now"),
        ({"kind": Kind.COUNT}, "column 'c0' had the kind count"),
        ({"levels": ("a", "b")}, "column 'c0': of its levels, a, b gone"),
        ({"name": "gone"}, "column 'c0' is new"),
    ],
)
def test_other_columns_do_not_compare(bundle, column, said):
    assert gate.differs(bundle, changed(bundle, **column)).startswith(said)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (("a", "b"), ("b", "a"), "its levels have another order"),
        (("a, b",), ("a", "b"), "of its levels, a, b new and a, b gone"),
        (tuple(map(str, range(500))), tuple(map(str, range(501))), "of its levels, 500 new"),
    ],
)
def test_of_levels_those_that_differ_are_named(bundle, then, now, said):
    """Of long lists the difference only: the description of a version has room for little."""
    new, champion = changed(bundle, levels=now), changed(bundle, levels=then)
    assert gate.differs(new, champion) == f"column 'c0': {said}"


def test_another_order_of_columns_compares(bundle):
    turned = replace(bundle.schema, columns=bundle.schema.columns[::-1])
    champion = replace(bundle, schema=turned)
    assert gate.differs(bundle, champion) == ""
    rows_NF = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(gate.ordered(rows_NF, bundle, champion), rows_NF[:, ::-1])


def test_another_bottleneck_does_not_compare(bundle):
    wider = replace(bundle.recipe.architecture, latent_dim=3)
    champion = replace(bundle, recipe=replace(bundle.recipe, architecture=wider))
    assert "its bottleneck is 3 wide and the new model's 2" in gate.differs(bundle, champion)


def test_the_bits_of_a_row_are_those_of_its_values_shown_or_hidden(bundle):
    rows_NF = np.random.default_rng(3).normal(3.0, 1.0, (20, 6))
    shown_N = bundle.code_length(rows_NF, bundle.reconstruct(rows_NF)).sum(axis=1)
    np.testing.assert_allclose(gate.row_bits(bundle, rows_NF, hidden=False), shown_N)
    hidden_N = bundle.masked_code_length(rows_NF).sum(axis=1)
    np.testing.assert_allclose(gate.row_bits(bundle, rows_NF, hidden=True), hidden_N)
    assert hidden_N.sum() > shown_N.sum()
