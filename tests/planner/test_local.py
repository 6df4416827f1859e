import importlib.util
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.planner import local
from s2e.planner.directive import FAILED
from s2e.planner.local import LocalPlanner, choices
from s2e.planner.replay import Recording, ReplayPlanner
from tests.planner.asked import view
from tests.planner.tiny_model import LETTERS, write_llama, write_llava

FAKE = Path(__file__).with_name("fake_scorer.py")
PATIENT_S = 300.0
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="the extra vlm is not installed"
)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder with a model whose process is a stand-in, and how to make a planner of it."""
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(FAKE)))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    made = []

    def make(behaviour, deadline_s=PATIENT_S, recording=None):
        folder = write_llama(tmp_path / "model", {})
        (folder / "behaviour").write_text(behaviour)
        made.append(LocalPlanner(str(folder), deadline_s, recording))
        return made[-1], folder

    yield make
    for planner in made:
        planner.close()
        assert planner._process is None or planner._process.poll() is not None


def test_letters_suffice_for_all_that_can_be_answered():
    for paths in (1, 18):
        listed = choices(paths)
        assert len(listed) == paths + 8 <= len(LETTERS)
        assert [c[1].get("index") for c in listed[:paths]] == list(range(paths))
    kinds = [fields["kind"] for _, fields in choices(1)]
    assert kinds == ["select"] + 5 * ["action"] + ["speed", "stop", "none"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("says A 0.25", ("select", 2, None, 0.25)),  # the leftmost path is candidate 2
        ("says C 0.9", ("select", 0, None, 0.9)),
        ("says E 0.6", ("action", None, "forward_left", 0.6)),
        ("says I 0.6", ("speed", None, None, 0.6)),
        ("says I 0.4", ("none", None, None, 0.4)),
        ("says J 0.51", ("stop", None, None, 0.51)),
        ("says J 0.49", ("none", None, None, 0.49)),
        ("says K 0.9", ("none", None, None, 0.9)),
    ],
)
def test_the_likeliest_choice_is_the_directive(model, said, expected):
    planner, folder = model(said)
    found = planner.answer([view(3.0)])[0]
    assert (found.kind, found.index, found.action) == expected[:3]
    assert found.confidence == pytest.approx(expected[3]) and found.stamp_s == 3.0
    asked = json.loads((folder / "asked").read_text())
    assert asked["choices"] == 11 and "A: follow path 0\n" in asked["text"]
    assert "K: nothing to say" in asked["text"] and "People" not in asked["text"]
    assert asked["pixels"] == np.prod(asked["shape"])


def test_who_cannot_see_is_told_of_people(model):
    planner, folder = model("blind")
    planner.answer([view()])
    asked = json.loads((folder / "asked").read_text())
    assert asked["shape"] is None and asked["pixels"] == 0
    assert "crosses to the right" in asked["text"]


def test_all_worlds_are_answered_by_one_process(model):
    planner, folder = model("says B 0.9")
    nowhere = view(2.0, candidates=np.zeros((0, 2, 2)))
    found = planner.answer([view(1.0), nowhere, view(3.0)]) + planner.answer([view(4.0)])
    assert [d.stamp_s for d in found] == [1.0, 2.0, 3.0, 4.0]
    assert [d.kind for d in found] == ["select", "none", "select", "select"]
    assert (folder / "started").read_text() == "x" and planner.problem() == ""


def test_the_process_knows_no_key_and_no_network(model, monkeypatch):
    monkeypatch.setenv("S2E_API_KEY", "secret")
    planner, folder = model("says A 0.9")
    planner.answer([view()])
    environment = json.loads((folder / "environment").read_text())
    assert "S2E_API_KEY" not in environment and environment["HF_HUB_OFFLINE"] == "1"


def test_a_late_answer_is_none_and_is_not_taken_for_the_next_one(model):
    planner, folder = model("late", 0.3)
    late = planner.answer([view(0.0, speed=0.0)])[0]
    assert late.reason == f"{FAILED}: gives no answer within 0.3 s"
    (folder / "go on").touch()
    planner._deadline_s = PATIENT_S
    found = planner.answer([view(1.0)])[0]
    assert (found.kind, found.index) == ("select", 1), found  # B, not the A of before
    assert planner.statistics().counts == {"asked": 2, "answered": 1, "advised": 1, "failed": 1}
    assert (folder / "started").read_text() == "x"


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("dies", "cannot be asked: its process ended"),
        ("dies at the start", "cannot be asked: ValueError: no such kernel"),
        ("cannot load", "cannot be asked: OSError: damaged"),
        ("out of memory", "cannot be asked: RuntimeError: out of memory"),
        ("babbles", "cannot be asked: its process answers something else"),
        ("no JSON", "cannot be asked: its process answers something else"),
        ("nothing in it", "cannot be asked: "),
        ("too few", "cannot be asked: its scores are no probabilities"),
        ("NaN", "cannot be asked: its scores are no probabilities"),
        ("another question", "cannot be asked: its process answers something else"),
    ],
)
def test_what_goes_wrong_is_no_advice_and_nothing_is_started_again(model, behaviour, said):
    planner, folder = model(behaviour)
    found = planner.answer([view(0.0), view(1.0)])
    assert all(d.kind == "none" and d.reason.startswith(FAILED) for d in found)
    assert found[0].reason.startswith(f"{FAILED}: {said}")
    assert planner.problem().startswith("cannot be asked")
    assert (folder / "started").read_text() == "x"
    assert planner.statistics().counts["failed"] == 3


@pytest.mark.parametrize("behaviour", ["hangs", "drips"])
def test_a_deadline_holds(model, behaviour):
    planner, _ = model(behaviour, 0.2)
    found = planner.answer([view(float(i)) for i in range(3)])
    assert all(d.reason.startswith(FAILED) for d in found)


def test_a_start_that_takes_for_ever_is_given_up(model, monkeypatch):
    monkeypatch.setattr(local, "START_S", 0.2)
    planner, _ = model("starts for ever")
    assert planner.problem() == "cannot be asked: is not loaded within 0.2 s"


@pytest.mark.parametrize("behaviour", ["hangs", "starts for ever"])
def test_close_kills_it_whatever_it_does(model, behaviour):
    planner, folder = model(behaviour)
    found = []
    asking = threading.Thread(target=lambda: found.extend(planner.answer([view()])))
    asking.start()
    while not (folder / ("asked" if behaviour == "hangs" else "environment")).exists():
        time.sleep(0.01)
    planner.close()
    asking.join(20)
    assert [d.reason for d in found] == [f"{FAILED}: closed"]
    assert planner.answer([view()])[0].reason == f"{FAILED}: closed"


def test_no_descriptors_are_left(model):
    planner, _ = model("says A 0.9")
    planner.answer([view()])
    before = len(os.listdir("/proc/self/fd"))
    planner.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_what_it_said_can_be_replayed(model, tmp_path):
    recording = Recording(tmp_path / "said.jsonl")
    planner, _ = model("says C 0.3", recording=recording)
    said = planner.answer([view(1.0)])
    recording.close()
    assert ReplayPlanner(str(tmp_path / "said.jsonl")).answer([view(1.0)]) == said


def test_folders_without_a_model_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"config\.json: cannot be read .*local:FOLDER"):
        LocalPlanner(str(tmp_path))
    folder = write_llama(tmp_path / "model", {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="transformers is not installed; install it with: pip"):
        LocalPlanner(str(folder))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds no \*\.safetensors"):
        LocalPlanner(str(folder))
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="field 'model_type' is missing"):
        LocalPlanner(str(folder))


@needs_transformers
def test_a_real_model_in_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "START_S", 1800.0)  # it imports torch and transformers
    planner = LocalPlanner(str(write_llama(tmp_path / "tiny", {"B": 3.0})), PATIENT_S)
    found = planner.answer([view(1.0)])[0]
    planner.close()
    # it says B whatever it is asked, which is no opinion
    assert found.confidence == pytest.approx(1 / 11, rel=1e-4)


@needs_transformers
@pytest.mark.parametrize("template", [True, False])
def test_scores_are_those_of_the_letters_alone(tmp_path, template):
    from s2e.planner.scorer import Scorer

    given = {"A": 1.0, "C": -2.0, "D": 5.0, "stop": 9.0}
    words = {"template": None} if not template else {}
    scorer = Scorer(str(write_llama(tmp_path, given, **words)))
    odds = np.exp([1.0, 0.0, -2.0])
    found = scorer.letters("You are asked.", "Choose.", 3, None)
    np.testing.assert_allclose(np.exp(found), odds / odds.sum(), rtol=1e-4)
    found = scorer.score("You are asked.", "Choose.", 3, None)
    np.testing.assert_allclose(np.exp(found), np.full(3, 1 / 3), rtol=1e-4)
    assert not scorer.sees


@needs_transformers
def test_neither_code_nor_pickles_of_a_folder_run(tmp_path):
    from s2e.planner.scorer import Scorer

    folder = write_llama(tmp_path / "own", {"A": 1.0})
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(
        f"open({str(ran)!r}, 'w')\nclass Own: pass\nclass OwnConfig: pass"
    )
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own}))
    Scorer(str(folder))  # of a known kind: the library's code
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own, "model_type": "own"}))
    with pytest.raises(ValueError, match="trust_remote_code"):
        Scorer(str(folder))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        Scorer(str(folder))
    assert not ran.exists()


@needs_transformers
def test_a_tokenizer_without_letters_is_refused(tmp_path):
    from s2e.planner.scorer import Scorer

    folder = write_llama(tmp_path, {})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for letter in "XYZ":
        del tokenizer["model"]["vocab"][letter]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match="letters A to Z"):
        Scorer(str(folder))


@needs_transformers
def test_a_model_that_sees_is_given_the_picture(tmp_path):
    import torch
    import transformers

    from s2e.planner.scorer import Scorer

    folder = write_llava(tmp_path)
    scorer = Scorer(str(folder))
    ramp = np.linspace(0, 255, 48 * 96 * 3).reshape(48, 96, 3).astype(np.uint8)
    found = [scorer.letters("stop", "path A B", 4, image) for image in (ramp, 255 - ramp)]
    assert scorer.sees and np.abs(found[0] - found[1]).max() > 1e-3
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.LlavaForConditionalGeneration.from_pretrained(folder)
    text = "<image> stop\n\npath A B assistant:"
    inputs = processor(images=[ramp], text=[text], return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1]
    letters = logits[processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])]
    np.testing.assert_allclose(found[0], torch.log_softmax(letters, 0).numpy(), atol=1e-4)
