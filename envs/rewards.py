"""Reward terms: each a function of what happened in a step, each with its own log line.

A reward is the sum of its terms: a set of this file, terms of the user's own code, or both
(`reward_of`). What ends an episode (`arrive`, `collision`) is paid once; every other term is a
rate, paid per second.
"""

import dataclasses
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2e.core.errors import UserError, require

PERSONAL_SPACE_M = 0.6
CLEARANCE_M = 0.35
TARGET_SPEED = 1.0
"""The speed that `target_velocity` asks for, m/s: a walking pace."""


@dataclass(frozen=True)
class Transition:
    """What happened in a step of B worlds; the arrays are for reading only.

    Attributes:
        step_s: how long it took, seconds (a number).
        waypoint: (B, 2) the action: metres ahead and left, in the robot's frame before the step.
        pose: (B, 3) x, y (m), yaw (rad) after it. velocity: (B, 3) m/s, rad/s, m/s to the left.
        goal: (B, 2) metres.
        distance_before, distance_after: (B,) metres to the goal, as `--shaping` measures them.
        time_s: (B,) seconds since the episode began.
        speed: (B,) m/s at the end of the step.
        arrived, collided: (B,) bool, what happened in it.
        person_gap, static_gap: (B,) metres of room to people and things; infinite is nobody.
        omega_change: (B,) of the turn rate, rad/s.
        off_sidewalk: (B,) bool, the robot stands on a road or on grass.
    """

    step_s: float
    waypoint: np.ndarray
    pose: np.ndarray
    velocity: np.ndarray
    goal: np.ndarray
    distance_before: np.ndarray
    distance_after: np.ndarray
    time_s: np.ndarray
    speed: np.ndarray
    arrived: np.ndarray
    collided: np.ndarray
    person_gap: np.ndarray
    static_gap: np.ndarray
    omega_change: np.ndarray
    off_sidewalk: np.ndarray

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):  # a view: the worlds write on
                view = value.view()
                view.flags.writeable = False
                object.__setattr__(self, field.name, view)


Term = Callable[[Transition], np.ndarray]
"""(B,) floats of a step of B worlds."""


@dataclass(frozen=True)
class RewardTerm:
    """A term and its weight; `name` is its line in the log, the function's where not given."""

    function: Term
    weight: float = 1.0
    name: str = ""

    def __post_init__(self):
        own = getattr(self.function, "__name__", type(self.function).__name__)
        object.__setattr__(self, "name", self.name or own)

    def __call__(self, step: Transition) -> np.ndarray:
        """(B,) the weighted term."""
        return self.weight * self.function(step)


def arrive(step: Transition) -> np.ndarray:
    """1 on reaching the goal."""
    return step.arrived.astype(np.float64)


def collision(step: Transition) -> np.ndarray:
    """1 on touching something or somebody."""
    return step.collided.astype(np.float64)


def position(step: Transition) -> np.ndarray:
    """Nearness to the goal, coarse: 1 - tanh(d / 5 m), per second."""
    return step.step_s * (1.0 - np.tanh(step.distance_after / 5.0))


def position_fine(step: Transition) -> np.ndarray:
    """Nearness to the goal, fine: 1 - tanh(d / 1 m), per second."""
    return step.step_s * (1.0 - np.tanh(step.distance_after))


def towards_goal(step: Transition) -> np.ndarray:
    """Metres nearer to the goal: the speed towards it, per second."""
    return step.distance_before - step.distance_after


def target_velocity(step: Transition) -> np.ndarray:
    """How near the speed is to `TARGET_SPEED`, 0 to 1, per second."""
    return step.step_s * np.clip(1.0 - np.abs(step.speed - TARGET_SPEED) / TARGET_SPEED, 0.0, 1.0)


def sidewalk(step: Transition) -> np.ndarray:
    """Being on a road or a lawn, per second."""
    return step.step_s * step.off_sidewalk


def personal_space(step: Transition) -> np.ndarray:
    """Being closer to a person than `PERSONAL_SPACE_M`, 0 to 1, per second."""
    return step.step_s * np.clip(1 - step.person_gap / PERSONAL_SPACE_M, 0, 1)


def clearance(step: Transition) -> np.ndarray:
    """Scraping past things closer than `CLEARANCE_M`, 0 to 1, per second."""
    return step.step_s * np.clip(1 - step.static_gap / CLEARANCE_M, 0, 1)


def smoothness(step: Transition) -> np.ndarray:
    """Changing the turn rate, rad/s."""
    return np.abs(step.omega_change)


def time(step: Transition) -> np.ndarray:
    """The seconds that passed."""
    return np.full(len(step.arrived), step.step_s)


def _weighted(scale: float, weights: Mapping[Term, float]) -> tuple[RewardTerm, ...]:
    return tuple(RewardTerm(term, scale * weight) for term, weight in weights.items())


REWARDS: dict[str, tuple[RewardTerm, ...]] = {
    "urban_sim": _weighted(
        1 / 400,
        {
            arrive: 2000.0,
            collision: -200.0,
            position: 10.0,
            position_fine: 50.0,
            towards_goal: 20.0,
            target_velocity: 10.0,
            sidewalk: -5.0,
            personal_space: -20.0,
            smoothness: -2.0,
        },
    ),
    "compact": _weighted(
        1.0,
        {
            arrive: 5.0,
            collision: -5.0,
            towards_goal: 1.0,
            sidewalk: -0.1,
            personal_space: -1.0,
            clearance: -1.5,
            smoothness: -0.04,
            time: -0.1,
        },
    ),
}
"""Sets of terms; a scale brings returns near 1 to 10.

`urban_sim` has URBAN-SIM's navigation terms and weights (arrive, collision, two tanh position
terms, moving towards the goal, target velocity); the rule terms and their weights are ours.
`compact` is dense in progress and strict about contact.
"""


def reward_of(reward: str) -> tuple[RewardTerm, ...]:
    """The terms that `--reward` names: sets of `REWARDS` and terms of the user's own code as
    module:name, with commas between.

    Own terms are a function or a `RewardTerm`, in a module of the current folder or an installed
    one; each is tried on a step that did not happen, so that a mistake is found before worlds are
    made.

    Raises:
        UserError: there is no such set, module or name, it cannot be called, does not give finite
            (B,) floats, or two terms have one name.
    """
    terms: list[RewardTerm] = []
    for item in (part.strip() for part in reward.split(",")):
        known = f"{', '.join(REWARDS)}, or a term of your own as module:name"
        require(item in REWARDS or ":" in item, f"reward {item!r} is not one of {known}")
        terms += REWARDS[item] if item in REWARDS else [_own_term(item)]
    names = [term.name for term in terms]
    twice = [name for name in names if names.count(name) > 1]
    require(not twice, f"--reward {reward}: two terms are called {(twice or [''])[0]}; rename one")
    return tuple(terms)


def reward_terms(terms: tuple[RewardTerm, ...], step: Transition) -> dict[str, np.ndarray]:
    """Every term of a step, (B,) each, by name; their sum is the reward."""
    return {term.name: term(step) for term in terms}


def _own_term(item: str) -> RewardTerm:
    """The term `module:name`."""
    where, (module_name, _, name) = f"--reward {item}", item.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` has it; an installed command has not
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]:
            place = "in the current folder or installed"
            raise UserError(f"{where}: no module {module_name} {place}; check the name") from None
        raise UserError(f"{where}: {module_name} cannot be imported ({_told(error)})") from error
    has = [
        k
        for k, v in vars(module).items()
        if isinstance(v, RewardTerm)
        or (callable(v) and getattr(v, "__module__", "") == module_name)
    ]
    found: Any = getattr(module, name, None)
    require(
        found is not None,
        f"{where}: {module_name} has no {name or 'name behind the colon'}; it has "
        f"{', '.join(has[:8]) or 'nothing that can be called'}",
    )
    function = found.function if isinstance(found, RewardTerm) else found
    require(
        callable(function),
        f"{where}: {name} is {type(function).__name__}, not a function of a Transition; see "
        "docs/training.md",
    )
    term = found if isinstance(found, RewardTerm) else RewardTerm(found)
    term = dataclasses.replace(term, function=_checked(where, function))
    term(_example())
    return term


def _checked(where: str, function: Term) -> Term:
    """The function, with what it does wrong as the user's error."""

    def checked(step: Transition) -> np.ndarray:
        try:
            values = np.asarray(function(step), dtype=np.float64)
        except Exception as error:
            raise UserError(f"{where}: {_told(error)}") from error
        worlds = len(step.arrived)
        require(
            values.shape == (worlds,),
            f"{where}: gives shape {values.shape} for {worlds} worlds; give ({worlds},), one "
            "number a world",
        )
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            world = int(bad[0])
            about = ", ".join(
                f"{field.name} {value[world]}"
                for field in dataclasses.fields(step)
                if isinstance(value := getattr(step, field.name), np.ndarray)
            )
            raise UserError(
                f"{where}: gives {values[world]} in world {world}; give finite numbers ({about})"
            )
        return values

    return checked


def _told(error: Exception) -> str:
    """An error of the user's code in one line, with the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    name, line = last.filename, last.lineno
    if isinstance(error, SyntaxError):
        name, line = error.filename or name, error.lineno
    message = " ".join(str(error).split())
    return f"{os.path.basename(name)}:{line}: {type(error).__name__}: {message}"


def _example() -> Transition:
    """A step of three worlds: one drives, one arrives, one touches a person."""
    return Transition(
        step_s=0.2,
        waypoint=np.array([[1.0, 0.1], [0.5, 0.0], [1.0, -0.4]]),
        pose=np.array([[1.0, 2.0, 0.1], [4.0, -1.0, 1.5], [0.0, 0.0, -3.0]]),
        velocity=np.array([[0.9, 0.1, 0.0], [0.4, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        goal=np.array([[6.0, 2.5], [4.0, -0.8], [-3.0, 2.0]]),
        distance_before=np.array([5.2, 0.6, 3.6]),
        distance_after=np.array([5.0, 0.2, 3.6]),
        time_s=np.array([3.0, 12.4, 0.2]),
        speed=np.array([0.9, 0.4, 0.0]),
        arrived=np.array([False, True, False]),
        collided=np.array([False, False, True]),
        person_gap=np.array([np.inf, 1.2, -0.01]),
        static_gap=np.array([0.8, 0.3, 2.0]),
        omega_change=np.array([0.1, 0.0, -0.5]),
        off_sidewalk=np.array([False, False, True]),
    )
