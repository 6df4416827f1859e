import sys

import numpy as np
import pytest
import torch

import s2e
from s2e.core.errors import UserError
from s2e.policy import hub
from s2e.policy.checkpoint import find_checkpoint, load_networks, policy_state, save_checkpoint
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy

huggingface_hub = pytest.importorskip("huggingface_hub")
errors = pytest.importorskip("huggingface_hub.errors")
CONFIG = PolicyConfig(
    dim=32, encoder_layers=1, decoder_layers=1, height_px=32, width_px=64, stride=8, channels=40
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_what_looks_like_a_repository(tmp_path):
    for name in ("owner/name", "UCLA-VAIL/s2e.laptop_v1", "a/b"):
        assert hub.is_repository(name)
    for name in (
        "name",
        "a/b/c",
        "/a/b",
        "./a",
        "../a",
        "a/..",
        "a/",
        "/b",
        "a/.b",
        "-a/b",
        "a/b-",
        "a b/c",
        "a--b/c",
        "a/b\n",
        "~/x",
        "ä/b",
    ):
        assert not hub.is_repository(name), name
    (tmp_path / "here" / "out").mkdir()
    # a folder `out` is here: a path that was mistyped
    assert hub.is_name("out/run") and not hub.is_repository("out/run")


def test_a_repository_is_a_folder(tmp_path, monkeypatch):
    policy, net = S2EPolicy(CONFIG), FeatureNet(CONFIG)
    run = tmp_path / "cache"
    save_checkpoint(
        run / "snapshot", {"policy": CONFIG.to_dict()}, policy_state(policy, net), {}, {}
    )
    asked = {}

    def snapshot_download(name, **options):
        asked[name] = options
        return str(run / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    loaded, _ = load_networks("owner/name")
    assert torch.equal(loaded.position, policy.position)
    assert s2e.load_policy("owner/name").act(np.zeros((96, 160, 3), np.uint8)).score > 0
    assert set(asked["owner/name"]["allow_patterns"]) == {
        "config.json",
        "model.safetensors",
        "README.md",
    }


def test_local_folders_come_first(tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", never)
    (tmp_path / "here" / "owner" / "name").mkdir(parents=True)
    for path, newest in (("owner/name", False), ("owner/mane", False), ("other/name", True)):
        with pytest.raises(UserError, match=path):
            find_checkpoint(path, newest)


def response(status):
    httpx = pytest.importorskip("httpx2" if "httpx2" in sys.modules else "httpx")
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/owner/name"))


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("GatedRepoError", 403, "consent"),
        ("RepositoryNotFoundError", 404, "does not exist"),
        ("LocalEntryNotFoundError", None, "cannot be reached"),
        ("OfflineModeIsEnabled", None, "cannot be reached"),
        ("LocalTokenNotFoundError", None, "hf auth login"),
        ("HfHubHTTPError", 401, "hf auth login"),
        ("HfHubHTTPError", 500, "failed"),
        ("HFValidationError", None, "failed"),
    ],
)
def test_every_failure_says_what_to_do(monkeypatch, name, status, said):
    kind = getattr(errors, name)

    def fails(*_, **__):
        raise (
            kind("text\nof several lines", response=response(status))
            if status
            else kind("text\nof several lines")
        )

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(UserError, match=said) as caught:
        find_checkpoint("owner/name")
    assert "owner/name" in str(caught.value) and "\n" not in str(caught.value)


def test_offline_without_a_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="cannot be reached and is not in the cache"):
        find_checkpoint("owner/name")


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UserError,
        match='^runs/mistyped: no local folder of this name, .*pip install "huggingface-hub',
    ):
        find_checkpoint("runs/mistyped")


def test_push(tmp_path, monkeypatch):
    done = []

    class Api:
        def create_repo(self, name, **options):
            done.append((name, options))
            return f"https://huggingface.co/{name}"

        def upload_folder(self, **options):
            done.append(options)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert hub.push(tmp_path, "owner/name").endswith("owner/name")
    assert (
        done[0][1]["private"]
        and done[1]["folder_path"] == tmp_path
        and set(done[1]["allow_patterns"]) == set(hub.FILES)
    )
    with pytest.raises(UserError, match="owner/name"):
        hub.push(tmp_path, "name")

    def refused(*_, **__):
        raise errors.LocalTokenNotFoundError("no token")

    monkeypatch.setattr(Api, "create_repo", refused)
    with pytest.raises(UserError, match="hf auth login"):
        hub.push(tmp_path, "owner/name")
