"""The geometry that networks compute from four-vectors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.networks.four_vectors import LARGEST, PADDING, SMALLEST, Bounded
from cyclotrain.networks.particle_net import angular_distance, nearest
from cyclotrain.networks.particle_transformer import pair_features


def test_pair_features_are_the_published_ones_to_the_precision_of_float32() -> None:
    random = np.random.default_rng(1)
    pt, eta, phi = random.exponential(20, 30) + 0.1, random.normal(0, 0.3, 30), random.uniform(-np.pi, np.pi, 30)
    eta[1], phi[1] = eta[0] + 1e-3, phi[0]  # two that are close: their mass is lost in E² - p²
    first, second = np.triu_indices(30, 1)
    d_eta, d_phi = eta[first] - eta[second], np.abs(phi[first] - phi[second])
    delta_r = np.hypot(d_eta, np.minimum(d_phi, 2 * np.pi - d_phi))
    low, total = np.minimum(pt[first], pt[second]), pt[first] + pt[second]
    m2 = 4 * pt[first] * pt[second] * (np.sinh(d_eta / 2) ** 2 + np.sin(d_phi / 2) ** 2)
    expected = np.log([low * delta_r, low / total, delta_r, m2])
    vectors = torch.tensor(np.stack([pt, eta, phi, pt * np.cosh(eta)], -1)[None], dtype=torch.float32)
    scaled = pair_features(vectors)[:, 0, first, second].double().numpy()
    scale, shift = np.array([[0.4, 0.5, 0.7, 0.25]]).T, np.array([[1, 2.5, 2, -1]]).T
    np.testing.assert_allclose(scaled / scale - shift, expected, atol=0.7)  # the two that are close: ε is as large as ΔR²
    far = delta_r > 0.05
    np.testing.assert_allclose((scaled / scale - shift)[:, far], expected[:, far], atol=5e-4)


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_neighbours_are_the_nearest_others_that_are_there(seed: int, k: int) -> None:
    torch.manual_seed(seed)
    vectors, mask = torch.randn(4, 5, 4), torch.arange(5) < torch.randint(0, 6, (4, 1))
    distance = angular_distance(vectors)
    rows, weight = nearest(distance, mask, k)
    for jet in range(4):
        for i in range(int(mask[jet].sum())):
            others = sorted((float(distance[jet, i, j]), j) for j in range(5) if mask[jet, j] and j != i)[:k]
            weights = {int(row) - 5 * jet: float(w) for row, w in zip(rows[jet, i], weight[jet, i], strict=True) if w > 0}
            assert set(weights) == {j for _, j in others}
            np.testing.assert_allclose(list(weights.values()), [1 / len(others)] * len(others) if others else [], rtol=1e-6)


def test_constituents_in_one_place_are_not_their_own_neighbours() -> None:
    rows, weight = nearest(torch.zeros(1, 3, 3), torch.ones(1, 3, dtype=torch.bool), 2)
    assert [set(row.tolist()) for row in rows[0]] == [{1, 2}, {0, 2}, {0, 1}] and (weight == 0.5).all()


def test_four_vectors_are_finite_and_bounded_whatever_comes_in() -> None:
    numbers = torch.tensor([np.nan, np.inf, -np.inf, 1e38, -1e30, 0.0, 1e-40, 5.0])
    vectors = numbers[None, :, None].expand(1, -1, 4).clone()
    bounded = Bounded()(vectors, torch.ones(1, 8, dtype=torch.bool))
    assert torch.isfinite(bounded).all() and torch.isfinite(torch.log(bounded[..., [0, 3]])).all()
    assert (bounded >= torch.tensor(SMALLEST)).all() and (bounded <= torch.tensor(LARGEST)).all()
    assert bounded[0, 0].tolist() == torch.tensor(PADDING).tolist() and bounded[0, 7].tolist() == [5.0] * 4
    assert (Bounded()(vectors, torch.zeros(1, 8, dtype=torch.bool)) == torch.tensor(PADDING)).all()
