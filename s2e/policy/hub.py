"""Policies from Hugging Face, and to there: a repository with the files of an exported folder
(`s2e-export --folder`).

Nothing of a repository is executed: config.json is JSON, weights are safetensors. Needs the extra
hub.
"""

import os
import re
from pathlib import Path
from typing import Any

from s2e.core.errors import UserError, optional

FILES = ("config.json", "model.safetensors", "README.md")
"""What an exported folder may hold, and all that is ever downloaded."""

_NOT_HERE = "{}: no local folder of this name, and as a Hugging Face repository"
_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"


def is_name(name: str) -> bool:
    """Whether a name could be a repository's: owner/name."""
    return (
        re.fullmatch(f"{_PART}/{_PART}", name, re.ASCII) is not None
        and "--" not in name
        and ".." not in name
        and len(name) <= 96
    )


def is_repository(name: str) -> bool:
    """Whether a name is meant as a repository and not as a path: owner/name, and there is no folder
    of the owner's name here.
    """
    return is_name(name) and not os.path.exists(Path(name).parent)


def download(name: str) -> Path:
    """The folder of a repository's files in huggingface_hub's cache, fetched where they are missing
    or older than there.

    Raises:
        UserError: huggingface_hub is missing, there is no connection and nothing in the cache, no
            such repository, or no access.
    """
    hub = library(_NOT_HERE.format(name))
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # connections fail in many ways
        raise UserError(_explain(name, error)) from None


def push(folder: Path, name: str) -> str:
    """Uploads an exported folder to a repository, which is made (private) where there is none;
    returns its address.

    Raises:
        UserError: no such name, no token, no connection.
    """
    if not is_name(name):
        raise UserError(f"--push {name}: not the name of a Hugging Face repository; owner/name is")
    api = library().HfApi()
    try:
        url = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="Exported by s2e-export",
        )
    except Exception as error:  # connections fail in many ways
        raise UserError(f"{_explain(name, error)}. {folder} is complete; upload it later") from None
    return str(url)


def library(what: str = "policies on Hugging Face") -> Any:
    """The huggingface_hub package; `what` needs it.

    Raises:
        UserError: it is not installed.
    """
    return optional("huggingface_hub", what, "hub", "huggingface-hub")


def _explain(name: str, error: Exception) -> str:
    """One line: what went wrong, what to do."""
    kinds = {c.__name__ for c in type(error).__mro__}
    where = _NOT_HERE.format(name)
    if "GatedRepoError" in kinds:
        return (
            f"{where} it needs consent: accept its terms at https://huggingface.co/{name}, "
            "then "
            "`hf auth login`"
        )
    if "RepositoryNotFoundError" in kinds:
        return f"{where} it does not exist, or is private; check the name, or `hf auth login`"
    if kinds & {"LocalTokenNotFoundError"} or getattr(
        getattr(error, "response", None), "status_code", 0
    ) in (401, 403):
        return (
            f"{where} it refuses access; `hf auth login` with a token that may read (and, to "
            "push, write) it"
        )
    if kinds & {
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
        "ConnectionError",
        "ConnectError",
        "TimeoutException",
        "Timeout",
    }:
        return (
            f"{where} it cannot be reached and is not in the cache; connect once, or check the path"
        )
    detail = " ".join(str(error).split())[:200]
    return (
        f"{where} it failed ({type(error).__name__}: {detail}); check the name and the connection"
    )
