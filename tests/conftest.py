import os

import pytest
from hypothesis import settings

# The same examples everywhere, however slow the machine is: what fails here fails there.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests, and the commands they start, keep tokens away from the user's cache."""
    before = os.environ.get("S2E_CACHE")
    os.environ["S2E_CACHE"] = before or str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["S2E_CACHE"]


@pytest.fixture
def one_thread():
    """Torch's threads wait for one another busily, which costs more than they give at the size of
    tests; results are those of one."""
    import torch  # here: many tests have no need of it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
