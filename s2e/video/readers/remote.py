"""Files behind a URL, read in sequence or in parts: http(s) with what Python has, everything else
through fsspec, whose own http needs aiohttp.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s2e.core.errors import UserError

_TIMEOUT_S = 60


def is_url(path: object) -> bool:
    """Whether a path is a URL: `scheme://...`. Such a path must stay a text: `pathlib` makes one
    slash of two.
    """
    return isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.\-]+://", path) is not None


def shown(place: object) -> str:
    """A place for messages: a URL without user, password and query, which may hold a key."""
    if not is_url(place):
        return str(place)
    return re.sub(r"://[^/@]*@", "://", str(place).split("?")[0])


class UrlFile:
    """A URL open from its beginning on; whatever goes wrong on the way is a `UserError`. Closes as
    a context manager.

    Raises:
        UserError: it cannot be opened or, later, read.
    """

    def __init__(self, url: str):
        self.url = url
        with _plain_errors(url):
            if url.startswith(("http://", "https://")):
                self.file: Any = urllib.request.urlopen(url, timeout=_TIMEOUT_S)
            else:
                system, path = _filesystem(url)
                self.file = system.open(path, "rb")

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end."""
        with _plain_errors(self.url):
            return self.file.read(count)

    def __enter__(self) -> "UrlFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def read_range(url: str, start: int, size: int) -> bytes:
    """`size` bytes from byte `start` on, or fewer where the file ends before.

    Raises:
        UserError: it cannot be read, or the server does not give parts of files.
    """
    with _plain_errors(url):
        if not url.startswith(("http://", "https://")):
            system, path = _filesystem(url)
            return system.cat_file(path, start=start, end=start + size)
        wanted = urllib.request.Request(url, headers={"Range": f"bytes={start}-{start + size - 1}"})
        with urllib.request.urlopen(wanted, timeout=_TIMEOUT_S) as file:
            if file.status != 206:
                raise UserError(
                    f"{shown(url)}: the server does not give parts of files; copy the shards to a "
                    "disk"
                )
            return file.read(size)


def read_all(url: str, limit: int) -> bytes:
    """A whole small file.

    Raises:
        UserError: it cannot be read, or is larger than `limit` bytes.
    """
    with UrlFile(url) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UserError(f"{shown(url)}: larger than {limit} bytes; this is not an index of shards")
    return data


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url)


@contextmanager
def _plain_errors(url: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{shown(url)}: {error}; install it to read such URLs, or copy the shards to a disk"
        ) from None
    except (FileNotFoundError, urllib.error.HTTPError) as error:
        code = f" ({error.code})" if isinstance(error, urllib.error.HTTPError) else ""
        raise UserError(
            f"{shown(url)}: not there, or not allowed{code}; check the address"
        ) from None
    except Exception as error:  # every store has exceptions of its own
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        text = (str(reason) or type(error).__name__).splitlines()[0].replace(url, shown(url))
        raise UserError(
            f"{shown(url)}: cannot be read ({text}); check the address, the network and the rights"
        ) from None
