"""How far answers are from the expected ones, and where the largest difference is."""

import numpy as np
import pytest
import torch

from cyclotrain.parity.comparison import Answers, Comparison, Session
from cyclotrain.runtimes.sessions import CPU, Configuration

SESSION = Session("model", "onnxruntime 1.20", Configuration(CPU, "enable_all", 1))
EXPECTED = np.array([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]], np.float32)


def batches(*sizes: int) -> list[dict[str, torch.Tensor]]:
    """Batches of one branch that counts the examples."""
    return [{"x": part[:, None]} for part in torch.arange(sum(sizes), dtype=torch.float32).split(list(sizes))]


def compared(answer: np.ndarray, tolerance: float = 1e-5, exact: np.ndarray | None = None) -> Comparison:
    comparison = Comparison("some case", SESSION, tolerance)
    comparison.add(batches(2, 1), answer=answer, reference=Answers(EXPECTED, exact))
    return comparison


def test_the_same_answers_differ_by_nothing() -> None:
    comparison = compared(EXPECTED.copy())
    assert comparison.passes and comparison.examples == 3
    assert (comparison.max_abs, comparison.max_rel, comparison.max_ulps) == (0, 0, 0)


def test_the_largest_difference_is_found_with_its_example() -> None:
    answer = EXPECTED.copy()
    answer[0] += [1e-6, -1e-6]
    answer[2] += [2**-12, -(2**-12)]
    comparison = compared(answer)
    assert not comparison.passes
    assert comparison.max_abs == pytest.approx(2**-12, rel=1e-6)
    assert comparison.max_rel == pytest.approx(2**-12 / 0.125, rel=1e-6)
    assert comparison.max_ulps == 2**14  # float32 has steps of 2**-26 from 0.125 on
    assert comparison.worst_example == 2
    assert comparison.evidence["input:x"].tolist() == [[2.0]]  # of the second batch
    np.testing.assert_array_equal(comparison.evidence["onnxruntime"], answer[2:])
    np.testing.assert_array_equal(comparison.evidence["pytorch"], EXPECTED[2:])
    assert str(comparison) == (
        "some case (onnxruntime 1.20; CPU, optimisations: all, 1 thread): differs by 0.000244 (tolerance 1e-05) at example 2"
    )


def test_a_difference_of_the_tolerance_passes_and_one_beyond_does_not() -> None:
    answer = EXPECTED.copy()
    answer[1] += [2**-10, -(2**-10)]
    assert compared(answer, tolerance=2**-10).passes
    assert not compared(answer, tolerance=np.nextafter(2**-10, 0)).passes


@pytest.mark.parametrize("row", [[np.nan, np.nan], [np.inf, 0], [0.5, 0.6]])
@pytest.mark.parametrize("side", ["answer", "expected"])
def test_what_is_no_probability_fails_whatever_the_tolerance(row: list[float], side: str) -> None:
    answer, expected = EXPECTED.copy(), EXPECTED.copy()
    (answer if side == "answer" else expected)[1] = row
    if side == "expected" and np.isfinite(row).all():
        answer[1] = row  # agreement does not make it one
    comparison = Comparison("some case", SESSION, 1e9)
    comparison.add(batches(3), answer=answer, reference=Answers(expected))
    assert not comparison.passes and comparison.worst_example == 1
    said = "an answer is not a probability" if np.isfinite(expected).all() else "PyTorch itself gives NaN or infinity"
    assert f"{said}, at example 1" in str(comparison)


def test_batches_add_up_and_examples_are_counted_through() -> None:
    comparison = compared(EXPECTED.copy())
    answer = EXPECTED.copy()
    answer[1] += [1e-3, -1e-3]
    comparison.add(batches(2, 1), answer=answer, reference=Answers(EXPECTED))
    assert (comparison.examples, comparison.worst_example) == (6, 4)
    comparison.add(batches(2, 1), answer=EXPECTED.copy(), reference=Answers(EXPECTED))
    assert (comparison.examples, comparison.worst_example) == (9, 4)
    assert comparison.max_abs == pytest.approx(1e-3, rel=1e-3)


def test_a_failure_by_nan_is_worse_than_any_difference_and_stays_the_evidence() -> None:
    far, broken = EXPECTED.copy(), EXPECTED.copy()
    far[0] = [0.75, 0.25]
    broken[2] = np.nan
    comparison = compared(broken)
    comparison.add(batches(3), answer=far, reference=Answers(EXPECTED))
    assert comparison.worst_example == 2 and np.isnan(comparison.evidence["onnxruntime"]).all()
    assert comparison.badness > compared(far).badness > compared(EXPECTED.copy()).badness


def test_the_distance_from_double_precision_is_given_where_it_is_known() -> None:
    exact = EXPECTED.astype(np.float64)
    exact[0] += [3e-8, -3e-8]
    assert compared(EXPECTED.copy(), exact=exact).max_abs_float64 == pytest.approx(3e-8, rel=1e-3)
    assert compared(EXPECTED.copy()).max_abs_float64 is None
    figures = compared(EXPECTED.copy(), exact=exact).to_dict()
    assert "evidence" not in figures and figures["artefact"] == "model" and figures["optimisation"] == "enable_all"


def test_where_no_answer_is_defined_a_probability_is_enough() -> None:
    answer = EXPECTED.copy()
    answer[1] += [0.25, -0.25]
    answer[2] += [1e-6, -1e-6]
    reference = Answers(EXPECTED, spread=lambda: np.array([0, 1e-3, 1e-7]))
    comparison = Comparison("inf in x", SESSION, 1e-5)
    comparison.add(batches(3), answer=answer, reference=reference)
    assert comparison.passes and comparison.undefined == 1
    assert comparison.max_abs == pytest.approx(1e-6, rel=0.1)
    answer[2] += [1e-3, -1e-3]  # of a defined answer
    assert not compared_with(answer, reference).passes
    answer[1:] = [[np.nan, np.nan], EXPECTED[2]]
    assert not compared_with(answer, reference).finite
    within_its_tolerance = compared_with(answer, reference, tolerance=0.1)
    assert within_its_tolerance.undefined == 0


def compared_with(answer: np.ndarray, reference: Answers, tolerance: float = 1e-5) -> Comparison:
    comparison = Comparison("inf in x", SESSION, tolerance)
    comparison.add(batches(3), answer=answer, reference=reference)
    return comparison


def test_a_reference_that_is_no_probability_is_told_with_the_way_out() -> None:
    expected = EXPECTED.copy()
    expected[0] = np.nan
    assert "PyTorch itself gives NaN or infinity, at example 0; limit the features with `clip`" in str(
        compared_with(EXPECTED.copy(), Answers(expected, spread=lambda: np.zeros(3)))
    )


def test_an_answer_within_the_tolerance_counts_even_where_pytorch_is_not_sure() -> None:
    answer = EXPECTED.copy()
    answer[0] += [3e-6, -3e-6]
    agreeing = compared_with(answer, Answers(EXPECTED, spread=lambda: pytest.fail("PyTorch was asked without a need")))
    assert agreeing.passes and agreeing.undefined == 0
    assert agreeing.max_abs == pytest.approx(3e-6, rel=0.1)


def test_quantities_differ_in_units_of_their_scale_or_of_themselves() -> None:
    """One of scale 100, one of scale 0.1 far from 0; the first two columns are probabilities."""
    expected = np.array([[0.25, 0.75, -50.0, 1000.0]], np.float32)
    answer = expected + np.array([[0, 0, 0.5, 0.25]], np.float32)
    comparison = Comparison("some case", SESSION, 1e-2, scales=(100.0, 0.1))
    comparison.add(batches(1), answer=answer, reference=Answers(expected, expected.astype(np.float64)))
    assert comparison.passes
    assert comparison.max_abs == comparison.max_rel == comparison.max_abs_float64 == pytest.approx(0.005)
    assert comparison.max_ulps == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_quantity_must_be_finite(value: float) -> None:
    expected = np.array([[1.0], [2.0]], np.float32)
    comparison = Comparison("some case", SESSION, 1e-2, scales=(1.0,))
    comparison.add(batches(2), answer=np.array([[1.0], [value]], np.float32), reference=Answers(expected))
    assert not comparison.passes
    assert "an answer is NaN or infinite" in str(comparison)
