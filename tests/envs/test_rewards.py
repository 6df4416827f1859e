import numpy as np
import pytest

from s2e.envs.rewards import REWARDS, Change, reward_terms


def change(**more):
    values = dict(
        step_s=0.2,
        distance_before=np.array([5.0]),
        distance_after=np.array([4.8]),
        speed=np.array([1.0]),
        arrived=np.array([False]),
        collided=np.array([False]),
        person_gap=np.array([np.inf]),
        static_gap=np.array([3.0]),
        omega_change=np.array([0.0]),
        off_sidewalk=np.array([False]),
    )
    return Change(**{**values, **more})


def test_urban_sims_terms_have_its_weights():
    scale, weights = REWARDS["urban_sim"]
    named = {term.__name__: weight for term, weight in weights.items()}
    published = {
        "arrive": 2000,
        "collision": -200,
        "position": 10,
        "position_fine": 50,
        "towards_goal": 20,
        "target_velocity": 10,
    }
    assert {k: named[k] for k in published} == published
    terms = reward_terms("urban_sim", change(arrived=np.array([True]), collided=np.array([True])))
    assert terms["arrive"][0] == pytest.approx(2000 * scale) and terms["collision"][
        0
    ] == pytest.approx(-200 * scale)
    assert terms["position"][0] == pytest.approx(scale * 10 * 0.2 * (1 - np.tanh(4.8 / 5)))
    assert terms["position_fine"][0] == pytest.approx(scale * 50 * 0.2 * (1 - np.tanh(4.8)))
    assert terms["towards_goal"][0] == pytest.approx(scale * 20 * 0.2)
    assert terms["target_velocity"][0] == pytest.approx(scale * 10 * 0.2)


@pytest.mark.parametrize("name", REWARDS)
def test_rules_cost_and_arriving_pays_more_than_waiting_beside_the_goal(name):
    def total(**more):
        return sum(v[0] for v in reward_terms(name, change(**more)).values())

    plain = total()
    assert total(person_gap=np.array([0.1])) < plain
    assert total(off_sidewalk=np.array([True])) < plain
    assert total(omega_change=np.array([1.5])) < plain
    assert total(collided=np.array([True])) < plain
    circling = dict(distance_before=np.array([1.05]), distance_after=np.array([1.05]))
    for_ever = total(**circling) / (1 - 0.98)  # the discount of s2e-ppo
    assert total(arrived=np.array([True])) > for_ever
