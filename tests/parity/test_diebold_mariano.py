"""The tests of equal accuracy against independent computations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from quantkit.core.errors import DataError
from quantkit.forecast.significance import clark_west, diebold_mariano, holm, long_run_variance


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(21)
    common = np.convolve(rng.normal(size=260), np.ones(4), mode="valid")
    return np.abs(common + rng.normal(size=257)) + 0.1, np.abs(common + 0.7 * rng.normal(size=257))


def test_the_long_run_variance_is_statsmodels_newey_west(losses):
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    difference = losses[0] - losses[1]
    theirs = S_hac_simple((difference - difference.mean())[:, None], nlags=3)[0, 0] / len(difference)
    assert long_run_variance(difference, 3) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 2, 5, 10])
def test_diebold_mariano_is_a_hac_regression_on_a_constant_with_the_small_sample_correction(losses, horizon):
    import statsmodels.api as sm

    difference = losses[0] - losses[1]
    count = len(difference)
    regression = sm.OLS(difference, np.ones(count)).fit(
        cov_type="HAC", cov_kwds={"maxlags": horizon - 1, "use_correction": False}
    )
    correction = np.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)
    statistic = float(regression.tvalues[0]) * correction
    ours = diebold_mariano(*losses, horizon=horizon)
    assert ours.statistic == pytest.approx(statistic, rel=1e-10)
    assert ours.p_value == pytest.approx(stats.t.sf(statistic, count - 1), rel=1e-9)


def test_at_one_step_it_is_the_paired_t_test_of_a_textbook():
    # For h = 1 the correction (n - 1) / n turns the population variance into the sample one: Student's own paired
    # test. Data: the sleep data of Student (1908), t = 4.0621 on 9 degrees of freedom, two-sided p = 0.002833.
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = diebold_mariano(second, first)
    assert found.statistic == pytest.approx(4.0621, abs=5e-5)
    assert found.p_value == pytest.approx(0.002833 / 2, abs=5e-7)


def test_it_is_one_sided_and_antisymmetric(losses):
    better, worse = diebold_mariano(*losses), diebold_mariano(*losses[::-1])
    assert better.statistic == -worse.statistic
    assert better.p_value + worse.p_value == pytest.approx(1.0)
    assert better.p_value < 0.5


def test_equal_forecasts_are_no_evidence():
    loss = np.abs(np.random.default_rng(0).normal(size=100))
    assert diebold_mariano(loss, loss.copy()) == (0.0, 1.0)


def test_pairs_with_an_unknown_outcome_are_left_out(losses):
    benchmark, model = (each.copy() for each in losses)
    benchmark[[3, 50]] = np.nan
    known = ~np.isnan(benchmark)
    assert diebold_mariano(benchmark, model) == diebold_mariano(benchmark[known], model[known])


def test_too_few_pairs_are_refused_with_what_is_needed():
    with pytest.raises(DataError, match="12 needed"):
        diebold_mariano(np.ones(11), np.zeros(11), horizon=6)


def test_the_size_under_the_null_is_about_nominal():
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(1000):
        common = rng.normal(size=(2, 120))
        rejected += diebold_mariano(common[0] ** 2, common[1] ** 2).p_value < 0.05
    # 99.9 % of a binomial(1000, 0.05) lies below 73.
    assert 28 <= rejected <= 73


def test_clark_west_adds_back_the_noise_of_a_nested_model():
    rng = np.random.default_rng(12)
    outcomes, model = rng.normal(size=400), 0.2 * rng.normal(size=400)
    naive = np.zeros(400)
    adjusted = outcomes**2 - ((outcomes - model) ** 2 - model**2)
    expected = adjusted.mean() / (adjusted.std() / np.sqrt(400))
    found = clark_west(outcomes, naive, model)
    assert found.statistic == pytest.approx(expected, rel=1e-12)
    assert found.p_value == pytest.approx(stats.norm.sf(expected), rel=1e-9)
    # Algebra: the adjusted difference is 2 y f, the regression of the outcome on the forecast.
    np.testing.assert_allclose(adjusted, 2 * outcomes * model)


def test_holm_is_statsmodels_multipletests():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(3)
    for size in (1, 2, 5, 9):
        raw = rng.uniform(size=size) ** 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_allclose(holm(raw), multipletests(raw, method="holm")[1], rtol=1e-12)


def test_a_test_that_was_not_made_does_not_count():
    found = holm(np.array([0.01, np.nan, 0.04]))
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], holm(np.array([0.01, 0.04])))
