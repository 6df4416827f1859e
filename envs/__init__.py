"""Worlds: batched simulation, crowd, robots, renderers, scenes, and the Gymnasium and
Stable-Baselines3 doors.

Importing this package registers `s2e/Urban-v0` with Gymnasium:
`gymnasium.make_vec("s2e/Urban-v0", num_envs=N)`.
"""

import gymnasium

if "s2e/Urban-v0" not in gymnasium.registry:
    gymnasium.register(
        "s2e/Urban-v0",
        entry_point="s2e.envs.vector:UrbanEnv",
        vector_entry_point="s2e.envs.vector:UrbanVectorEnv",
    )
