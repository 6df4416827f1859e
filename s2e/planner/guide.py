"""One robot's side of a planner: it remembers what answers refer to, applies what they say, and
bounds what they may cost.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from s2e.planner.directive import Directive
from s2e.planner.fusion import (
    TURN_RAD,
    Advice,
    Fusion,
    agree,
    freer_side,
    fuse,
    move_trajectory,
    turned,
)
from s2e.planner.scene import PlannerView

TRAIL_S = 60
"""How much of its way a robot remembers, a pose a second."""
MEMORY_S = 10.0
"""Answers about older views are about nothing that is remembered."""
LEAST_CONFIDENCE = 0.25
"""Less is no advice."""
AGREE_S = 3.0
"""Two answers in a row, their images no farther apart than this, may confirm each other."""
STEADY_LAST, STEADY_SHARE = 8, 0.5
"""A planner is heard while that share of its last answers says what the answer before said: who
contradicts itself is not listened to. It begins with credit for as many."""
UNSURE = 0.25
"""What share of an answer counts that no other has confirmed."""

SLOW_WINDOW_S, SLOW_MOST_S, SLOW_AGAIN_S = 10.0, 3.0, 1.0
"""Of each window a planner may take the second from the robot by stopping it (or as much by slowing
it down); once it has, it may again when no more than the third lies in the window."""
SLOW_SHARE, SLOW_CREDIT_S = 0.1, 4.0
"""And in the long run that share of the time, beyond the second."""

WATCH_S, WATCH_M = 6.0, 0.5
"""Who is advised for the first and has come no nearer to where it should be than by the second is
left alone for as long."""
SUBGOALS_OFF_S = 10.0
"""So long no subgoal is taken after one that led nowhere, twice as long after the next, and so
on."""
STOOD_M, FREED_M = 0.7, 1.5
"""Who stood meanwhile (moved less than the first) was in a jam, which is not the subgoal's fault:
it is over as soon as the robot has moved by the second."""

SIGHT_M, SIGHT_RAD, BESIDE_M = 8.0, np.radians(45.0), 2.5
"""A place is in sight if it is nearer than the first and no farther from straight ahead than the
second, or nearer than the third."""
ON_TRAIL_M = 1.5
REACHED_M = 1.0
SAME_PLACE_M, SAME_WAY_RAD, SAME_FAR = 2.0, np.radians(25.0), 1.5
"""Two answers name the same place if it is no farther apart than the first, or in the same
direction within the second and as far, up to the third as a factor."""
ASKED_TWICE, ASKED_THRICE = 2, 3
"""How many answers in a row must name a place: of a robot that comes no nearer to its goal, and of
any other. One will do for AGREE_S after a place was reached."""
UNNAMED = 3
"""So many answers in a row that have no advice drop a subgoal."""
BEHIND_RAD = np.radians(120.0)
"""Farther off than this a place is behind the robot, and either side leads there."""
TURN_S, TURN_LEAST = 1.2, 0.1
"""Who turns and has neither moved nor turned (metres, radians) by the second within the first is
against something."""
STUCK_S, STUCK_M = 3.0, 0.6
"""Who has come less than the second nearer to its goal in the first comes no nearer."""
LEASH_S, NEARER_M = 25.0, 1.0
"""So long subgoals may keep a robot from coming nearer to its goal than ever before; a metre nearer
is a new leash."""


def in_sight(point: np.ndarray, trail: np.ndarray) -> bool:
    """Whether a robot sees, has just seen or has been at a place.

    Args:
        point: (2,) metres in the robot's frame. trail: (P, 3) where it has been, see `PlannerView`.
    """
    poses = np.concatenate([np.zeros((1, 3)), np.asarray(trail, dtype=np.float64).reshape(-1, 3)])
    away = np.asarray(point, dtype=np.float64) - poses[:, :2]
    distance = np.hypot(away[:, 0], away[:, 1])
    off = np.arctan2(away[:, 1], away[:, 0]) - poses[:, 2]
    seen = (distance < SIGHT_M) & (np.cos(off) > np.cos(SIGHT_RAD))
    return bool(seen.any() or distance[0] < BESIDE_M or distance.min() < ON_TRAIL_M)


class Guide:
    """What a planner's directives do to one robot. Every bound on them is here, or in `fuse`.

    Call `hear` for each new answer, `subgoal` before the policy is asked and `apply` after. With
    weight 0 goals and scores pass through untouched.
    """

    def __init__(self, fusion: Fusion | None = None):
        self.fusion = fusion or Fusion()
        self.begin()

    def begin(self) -> None:
        """Another episode: forgets everything."""
        self._past: dict[float, PlannerView] = {}
        self._trail: deque[np.ndarray] = deque(maxlen=TRAIL_S)
        self._advice: Advice | None = None
        self._before: Advice | None = None
        self._last: Advice | None = None
        self._agreed = deque([True] * STEADY_LAST, maxlen=STEADY_LAST)
        self._named: deque[Advice] = deque(maxlen=ASKED_THRICE)
        self._unnamed = 0  # answers in a row that see no need
        self._subgoal: tuple[np.ndarray, float] | None = None  # in the world, until when
        self._side, self._turns = 0.0, (0.0, np.zeros(3))  # since when it turns, from which pose
        self._slowed: deque[tuple[float, float]] = deque()
        self._free, self._credit_s = False, SLOW_CREDIT_S
        self._watched: deque[tuple[float, float, bool, np.ndarray]] = deque()
        self._told, self._told_m = None, 0.0  # where it was to be, in the world, and how far
        self._to_goal: deque[tuple[float, float]] = deque()
        self._nearest_m, self._strayed_s = np.inf, 0.0
        self._alone_until_s = self._none_until_s = self._reached_s = -np.inf
        self._jam: np.ndarray | None = None  # where the robot stood when a subgoal was dropped
        self._in_vain = 0
        self._now_s = self._sampled_s = -np.inf

    @property
    def bounded(self) -> bool:
        """Whether the bounds hold: `hold` and `stream` are there to show what happens without."""
        return self.fusion.mode in ("score", "probability")

    def hear(self, said: Directive) -> None:
        """Takes an answer; one about a view that is forgotten is none."""
        view = self._past.get(said.stamp_s)
        if view is None or self.fusion.weight <= 0.0 or said.confidence < LEAST_CONFIDENCE:
            return
        new = Advice(said, view)
        steady = self._steadies(new)
        if self.bounded and not steady:
            self._advice = None
            return
        if said.kind == "subgoal":
            self._hear_subgoal(new)
            return
        if said.kind in ("select", "action"):
            self._named.clear()  # of another mind
        self._unnamed = self._unnamed + 1 if said.kind == "none" else 0
        if self.bounded and self._unnamed >= UNNAMED and self._subgoal is not None:
            self._drop()
        before, self._before = self._before, new
        sure = not self.bounded or (
            before is not None
            and said.stamp_s - before.directive.stamp_s <= AGREE_S
            and agree(new, before)
        )
        self._advice = new if sure else replace(new, trust=UNSURE)

    def _steadies(self, new: Advice) -> bool:
        """Whether enough of the last answers, with this one, say what the answer before said."""
        old, self._last = self._last, new
        kinds = {new.directive.kind} | ({old.directive.kind} if old else set())
        if old is None or kinds == {"none"}:
            same = True
        elif kinds == {"subgoal"}:
            place = new.place()
            same = place is not None and self._same(place, new, old)
        else:
            same = not kinds & {"none", "subgoal"} and (agree(new, old) or agree(old, new))
        self._agreed.append(same)
        return sum(self._agreed) >= STEADY_SHARE * STEADY_LAST

    def _hear_subgoal(self, new: Advice) -> None:
        """Sets a place to reach first, once enough answers have named it and the robot knows it."""
        self._unnamed = 0
        place, said = new.place(), new.directive
        assert place is not None
        if self._named and not self._same(place, new, self._named[-1]):
            self._named.clear()
        self._named.append(new)
        held = self._subgoal is not None
        enough = ASKED_TWICE if held or self._stuck() else ASKED_THRICE
        now = self._past[max(self._past)]
        if now.now_s - self._reached_s <= AGREE_S:
            enough = 1
        trail = np.array(self._trail).reshape(-1, 3)
        seen = move_trajectory(trail[:, :2], np.zeros(3), new.view.pose)
        yaws = trail[:, 2:] - new.view.pose[2]
        known = in_sight(np.array(said.point), np.concatenate([seen, yaws], 1))
        if self.bounded and (not known or len(self._named) < enough or self._rests(now)):
            return
        if not held:
            self._watched.clear()
        self._subgoal = place, said.expires_s()

    def _rests(self, now: PlannerView) -> bool:
        """Whether no subgoal is taken for now."""
        freed = self._jam is not None and np.linalg.norm(now.pose[:2] - self._jam) > FREED_M
        return now.now_s < self._none_until_s and not bool(freed)

    def _same(self, place: np.ndarray, new: Advice, old: Advice) -> bool:
        """Whether two answers in a row name the same place, or places in the same direction."""
        before = old.place()
        if before is None or new.directive.stamp_s - old.directive.stamp_s > AGREE_S:
            return False
        away = [p - new.view.pose[:2] for p in (place, before)]
        way, far = [np.arctan2(y, x) for x, y in away], [np.hypot(x, y) for x, y in away]
        near = float(np.linalg.norm(place - before)) < SAME_PLACE_M
        along = np.cos(way[0] - way[1]) > np.cos(SAME_WAY_RAD)
        return near or bool(along and max(far) < SAME_FAR * min(far))

    def _stuck(self) -> bool:
        """Whether the robot comes no nearer to its goal."""
        if not self._to_goal or self._to_goal[-1][0] - self._to_goal[0][0] < STUCK_S - 0.05:
            return False
        return self._to_goal[0][1] - self._to_goal[-1][1] < STUCK_M

    def subgoal(self, now_s: float, pose: np.ndarray, goal_xy: np.ndarray) -> np.ndarray | None:
        """(2,) where the policy is to think its goal is, in the robot's frame; None for its goal.

        It lies in the direction of the subgoal, as far as the way to the goal by it is long, so
        that no policy slows down to arrive there. A subgoal that is reached, or has expired, is
        dropped.

        Args:
            now_s: seconds. pose: (3,) of the robot. goal_xy: (2,) its goal in its frame.
        """
        if self._subgoal is None:
            return None
        place, until_s = self._subgoal
        point = move_trajectory(place, np.zeros(3), pose)
        away = float(np.linalg.norm(point))
        if away < REACHED_M:
            self._reached_s = now_s
        if away < REACHED_M or now_s >= until_s:
            self._drop()
            return None
        return point / away * (away + float(np.linalg.norm(goal_xy - point)))

    def _drop(self) -> None:
        self._subgoal = None
        self._watched.clear()

    def see(self, view: PlannerView) -> None:
        """Remembers a view that answers may be about; call it before anything is asked about it."""
        since = view.now_s - MEMORY_S
        self._past = {t: past for t, past in self._past.items() if t >= since}
        self._past[view.now_s] = replace(view, image=None, past_images=())
        if view.now_s >= self._sampled_s + 1.0 - 1e-6:
            self._sampled_s = view.now_s
            self._trail.append(np.array(view.pose, dtype=np.float64))

    def apply(self, view: PlannerView) -> tuple[np.ndarray, float]:
        """Fuses the newest advice.

        Args:
            view: the present; call this once per control step, after `see`.

        Returns:
            (M,) log scores, and the factor on the speed.
        """
        if self.fusion.weight <= 0.0:
            return view.log_scores, 1.0
        passed_s = view.now_s - self._now_s if np.isfinite(self._now_s) else view.step_s
        self._now_s = view.now_s
        if not self.bounded:
            return fuse(view, self._advice, self.fusion)
        alone = view.now_s < self._alone_until_s
        scores, factor = fuse(view, None if alone else self._advice, self.fusion)
        factor = self._ration(view.now_s, passed_s, factor)
        side = self._turn(view)
        scores = turned(scores, view.candidates, side) if side else scores
        advised = factor < 1.0 or int(np.argmax(scores)) != int(np.argmax(view.log_scores))
        self._watch(view, passed_s, advised or self._subgoal is not None)
        return scores, factor

    def _turn(self, view: PlannerView) -> float:
        """The side (1 left, -1 right) to which a robot turns whose subgoal is not ahead; 0 for
        others.

        It is that of the subgoal, or the one that the policy likes better where that is far behind;
        who does not get on turns to the other.
        """
        if self._subgoal is None:
            self._side = 0.0
            return 0.0
        x, y = move_trajectory(self._subgoal[0], np.zeros(3), view.pose)
        bearing = float(np.arctan2(y, x))
        if abs(bearing) <= TURN_RAD:
            self._side = 0.0
        elif self._side == 0.0:
            far = abs(bearing) > BEHIND_RAD
            liked = freer_side(view.log_scores, view.candidates) if far else 0.0
            self._side = liked or float(np.copysign(1.0, bearing))
            self._turns = view.now_s, view.pose
        elif view.now_s - self._turns[0] > TURN_S:
            moved = np.abs(view.pose - self._turns[1])
            if max(np.hypot(moved[0], moved[1]), moved[2]) < TURN_LEAST:
                self._side = -self._side
            self._turns = view.now_s, view.pose
        return self._side

    def _ration(self, now_s: float, passed_s: float, factor: float) -> float:
        """The factor on the speed, or 1 where the robot has been held long enough."""
        while self._slowed and self._slowed[0][0] <= now_s - SLOW_WINDOW_S + 1e-6:
            self._slowed.popleft()
        lost_s, more_s = sum(lost for _, lost in self._slowed), (1.0 - factor) * passed_s
        self._credit_s = min(SLOW_CREDIT_S, self._credit_s + SLOW_SHARE * passed_s)
        if lost_s + more_s > SLOW_MOST_S + 1e-6:
            self._free = True
        elif lost_s <= SLOW_AGAIN_S:
            self._free = False
        if factor == 1.0 or self._free or more_s > self._credit_s:
            return 1.0
        self._slowed.append((now_s, more_s))
        self._credit_s -= more_s
        return factor

    def _watch(self, view: PlannerView, passed_s: float, advised: bool) -> None:
        """Leaves a robot alone that advice brings nowhere."""
        now_s, here = view.now_s, view.pose[:2]
        to_goal = float(np.linalg.norm(view.goal_xy_robot))
        # Nearer to where it was to be at the last step, since that may be another place by now
        before = here if self._told is None else self._told
        nearer_m = self._told_m - float(np.linalg.norm(before - here))
        if self._subgoal is None:
            self._told = move_trajectory(view.goal_xy_robot, view.pose, np.zeros(3))
        else:
            self._told = self._subgoal[0]
            self._strayed_s += passed_s
        self._told_m = float(np.linalg.norm(self._told - here))
        if to_goal < self._nearest_m - NEARER_M:
            self._nearest_m, self._strayed_s = to_goal, 0.0
        self._to_goal.append((now_s, to_goal))
        while self._to_goal[0][0] < now_s - STUCK_S - 1e-6:
            self._to_goal.popleft()
        self._watched.append((now_s, nearer_m, advised, here))
        while self._watched[0][0] < now_s - WATCH_S - 1e-6:
            self._watched.popleft()
        nowhere = (
            now_s - self._watched[0][0] > WATCH_S - 1e-6
            and sum(m for _, m, *_ in self._watched) < WATCH_M
            and np.mean([a for _, _, a, _ in self._watched]) >= 0.5
        )
        if self._subgoal is not None and (nowhere or self._strayed_s > LEASH_S):
            stood = max(float(np.linalg.norm(h - here)) for *_, h in self._watched) < STOOD_M
            self._jam = here.copy() if stood and self._strayed_s <= LEASH_S else None
            self._none_until_s = now_s + SUBGOALS_OFF_S * 2.0**self._in_vain
            self._in_vain += 1
            self._named.clear()
            self._drop()
        elif nowhere:
            self._alone_until_s = now_s + WATCH_S
            self._watched.clear()
