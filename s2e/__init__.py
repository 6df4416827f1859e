"""S2E: from seeing to experiencing. The parts that every stage shares."""

import os

# Before torch is loaded: OpenMP threads that spin while they wait take the cores from the rasteriser, the encoder and whatever
# else runs on the machine. Waiting passively costs nothing on an idle one and is several times as fast on a busy one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
