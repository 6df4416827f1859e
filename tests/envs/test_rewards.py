import dataclasses
import sys

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.config import WorldsConfig
from s2e.envs.rewards import REWARDS, RewardTerm, Transition, reward_of, reward_terms


def step(**more):
    values = dict(
        step_s=0.2,
        waypoint=np.array([[1.0, 0.0]]),
        pose=np.zeros((1, 3)),
        velocity=np.array([[1.0, 0.0, 0.0]]),
        goal=np.array([[4.8, 0.0]]),
        distance_before=np.array([5.0]),
        distance_after=np.array([4.8]),
        time_s=np.array([3.0]),
        speed=np.array([1.0]),
        arrived=np.array([False]),
        collided=np.array([False]),
        person_gap=np.array([np.inf]),
        static_gap=np.array([3.0]),
        omega_change=np.array([0.0]),
        off_sidewalk=np.array([False]),
    )
    return Transition(**{**values, **more})


def test_urban_sims_terms_have_its_weights():
    scale = 1 / 400
    named = {term.name: term.weight for term in REWARDS["urban_sim"]}
    published = {
        "arrive": 2000,
        "collision": -200,
        "position": 10,
        "position_fine": 50,
        "towards_goal": 20,
        "target_velocity": 10,
    }
    assert {k: named[k] for k in published} == {k: scale * v for k, v in published.items()}
    ended = step(arrived=np.array([True]), collided=np.array([True]))
    terms = reward_terms(REWARDS["urban_sim"], ended)
    assert terms["arrive"][0] == pytest.approx(2000 * scale)
    assert terms["collision"][0] == pytest.approx(-200 * scale)
    assert terms["position"][0] == pytest.approx(scale * 10 * 0.2 * (1 - np.tanh(4.8 / 5)))
    assert terms["position_fine"][0] == pytest.approx(scale * 50 * 0.2 * (1 - np.tanh(4.8)))
    assert terms["towards_goal"][0] == pytest.approx(scale * 20 * 0.2)
    assert terms["target_velocity"][0] == pytest.approx(scale * 10 * 0.2)


def test_rules_by_hand():
    """A fifth of a second: half of the room that people want, a fifth of that to things, a road,
    half a rad/s more turn, half a walking pace."""
    close = step(
        person_gap=np.array([0.3]),
        static_gap=np.array([0.07]),
        omega_change=np.array([-0.5]),
        off_sidewalk=np.array([True]),
        speed=np.array([0.5]),
        collided=np.array([True]),
        arrived=np.array([True]),
    )
    paid = {k: v.item() for k, v in reward_terms(REWARDS["compact"], close).items()}
    assert paid == pytest.approx(
        {
            "arrive": 5.0,
            "collision": -5.0,
            "towards_goal": 0.2,
            "sidewalk": -0.1 * 0.2,
            "personal_space": -0.5 * 0.2,
            "clearance": -1.5 * 0.8 * 0.2,
            "smoothness": -0.04 * 0.5,
            "time": -0.1 * 0.2,
        }
    )
    urban = {k: 400 * v.item() for k, v in reward_terms(REWARDS["urban_sim"], close).items()}
    rules = ("sidewalk", "personal_space", "smoothness", "target_velocity")
    assert [urban[k] for k in rules] == pytest.approx([-5 * 0.2, -20 * 0.1, -2 * 0.5, 10 * 0.1])


@pytest.mark.parametrize("gap", [np.inf, 0.7, -0.2])
def test_a_rule_costs_nothing_at_a_distance_and_no_more_than_all_of_it_in_contact(gap):
    both = step(person_gap=np.array([gap]), static_gap=np.array([gap]), speed=np.array([2.5]))
    paid = reward_terms(REWARDS["compact"], both)
    most = 0.2 * (gap < 0)
    found = [paid["personal_space"].item(), paid["clearance"].item()]
    assert found == pytest.approx([-most, -1.5 * most])
    assert reward_terms(REWARDS["urban_sim"], both)["target_velocity"] == [0.0]  # far too fast


@pytest.mark.parametrize("name", REWARDS)
def test_rules_cost_and_arriving_pays_more_than_waiting_beside_the_goal(name):
    def total(**more):
        return sum(v[0] for v in reward_terms(reward_of(name), step(**more)).values())

    plain = total()
    assert total(person_gap=np.array([0.1])) < plain
    assert total(off_sidewalk=np.array([True])) < plain
    assert total(omega_change=np.array([1.5])) < plain
    assert total(collided=np.array([True])) < plain
    circling = dict(distance_before=np.array([1.05]), distance_after=np.array([1.05]))
    for_ever = total(**circling) / (1 - 0.98)  # the discount of s2e-ppo
    assert total(arrived=np.array([True])) > for_ever


OWN = """
import numpy as np
from s2e.envs.rewards import RewardTerm

def slow_near_people(step):
    return -step.speed * (step.person_gap < 1.0)

half = RewardTerm(slow_near_people, 0.5, "half")
number = 3.0
def too_many(step):
    return np.zeros((len(step.speed), 2))
def undefined(step):
    return step.speed / (step.speed - step.speed)
def lost(step):
    return step.altitude
def meddles(step):
    step.pose[:] = 0.0
    return step.speed
def arrive(step):
    return step.speed
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Code of the user's in the current folder."""
    (tmp_path / "own_terms.py").write_text(OWN)
    (tmp_path / "torn.py").write_text("def f(:\n")
    (tmp_path / "lacking.py").write_text("import nowhere_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield
    for name in ("own_terms", "torn", "lacking"):
        sys.modules.pop(name, None)


def test_terms_of_the_users_own_code_are_paid_beside_a_set_or_alone(own):
    near = step(person_gap=np.array([0.3]), speed=np.array([1.2]))
    both = reward_of("compact, own_terms:slow_near_people,own_terms:half")
    paid = reward_terms(both, near)
    assert list(paid)[-2:] == ["slow_near_people", "half"] and len(paid) == 10
    assert paid["slow_near_people"] == pytest.approx([-1.2]) and paid["half"] == pytest.approx(-0.6)
    alone = reward_of("own_terms:half")
    assert [(t.name, t.weight) for t in alone] == [("half", 0.5)]
    assert WorldsConfig(reward="own_terms:half").reward == "own_terms:half"


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("dense", "'dense' is not one of urban_sim, compact, or a term of your own as module:name"),
        ("compact,", "'' is not one of"),
        ("nowhere:f", "--reward nowhere:f: no module nowhere in the current folder or installed"),
        ("torn:f", "torn cannot be imported .torn.py:1: SyntaxError"),
        ("lacking:f", "lacking cannot be imported .lacking.py:1: ModuleNotFoundError"),
        ("own_terms:f", "own_terms has no f; it has .*slow_near_people"),
        ("own_terms:", "own_terms has no name behind the colon"),
        ("own_terms:number", "number is float, not a function"),
        ("own_terms:too_many", r"gives shape \(3, 2\) for 3 worlds; give \(3,\)"),
        ("own_terms:undefined", "gives inf in world 0; give finite numbers .*speed 0.9"),
        ("own_terms:lost", "own_terms.py:15: AttributeError: .*altitude"),
        ("own_terms:meddles", "own_terms.py:17: ValueError: .*read-only"),
        ("compact,own_terms:arrive", "two terms are called arrive; rename one"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_cannot_be_paid_is_refused_before_worlds_are_made(own, reward, message):
    with pytest.raises(UserError, match=message):
        reward_of(reward)


def test_what_a_term_says_of_a_step_is_looked_at_as_well(own):
    sys.modules["own_terms"] = type(sys)("own_terms")
    sys.modules["own_terms"].__dict__["late"] = lambda s: np.where(s.time_s > 50.0, np.nan, s.speed)
    (late,) = reward_of("own_terms:late")
    assert late(step()) == pytest.approx([1.0])
    with pytest.raises(UserError, match="--reward own_terms:late: gives nan in world 0"):
        late(step(time_s=np.array([60.0])))


def test_a_term_is_called_as_its_function_and_weighs_one():
    def pace(step):
        return step.speed

    term = RewardTerm(pace)
    assert (term.name, term.weight) == ("pace", 1.0)
    assert dataclasses.replace(term, name="much").name == "much"
