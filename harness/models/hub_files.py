"""Files of repositories of the Hugging Face hub: from its cache on this machine, or downloaded."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError, one_line

HUB_TIMEOUT_SECONDS = 5
NEWEST = "main"


def snapshot(repo: str, revision: str, required: Iterable[str], optional: Iterable[str] = ()) -> Path:
    """The folder of a commit of a repository in the hub's cache, with these files; what is missing is downloaded.

    revision: empty for the commit that is on this machine, or else the newest.
    Raises HarnessError, in one line, where the hub does not give a file.
    """
    first, *others = required
    found = _file(repo, revision or NEWEST, first)
    for name in others:
        _file(repo, found.parent.name, name)
    for name in optional:
        _optional_file(repo, found.parent.name, name)
    return found.parent


def repository_files(repo: str, revision: str) -> list[str]:
    """The names of all files of a repository. Raises HarnessError where the hub cannot be asked."""
    from huggingface_hub import HfApi, constants

    with _in_one_line(repo):
        return HfApi(endpoint=constants.ENDPOINT).list_repo_files(repo, revision=revision)


def _file(repo: str, revision: str, name: str) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repo, name, cache_dir=constants.HF_HUB_CACHE, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    with _in_one_line(repo):
        return Path(hf_hub_download(repo, name, revision=revision, cache_dir=constants.HF_HUB_CACHE))


def _optional_file(repo: str, revision: str, name: str) -> None:
    """Download a file if the repository has it and the hub can be reached."""
    from huggingface_hub import constants, try_to_load_from_cache

    if try_to_load_from_cache(repo, name, cache_dir=constants.HF_HUB_CACHE, revision=revision) is None:
        try:
            _file(repo, revision, name)
        except HarnessError:
            return


@contextmanager
def _in_one_line(repo: str) -> Iterator[None]:
    """Raise HarnessError, saying what to do, for what the hub raises within this block."""
    from huggingface_hub import constants, errors

    page = f"https://huggingface.co/{repo}"
    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        raise HarnessError(
            f"{repo} is not on this machine and the hub cannot be reached; run once with a network connection, or copy"
            " the repository into a folder and name that"
        )
    try:
        yield
    except errors.GatedRepoError:
        raise HarnessError(f"{repo} is gated: visit {page}, accept its terms, then `hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise HarnessError(f"{repo} has no such revision; {page} lists them") from None
    except errors.RepositoryNotFoundError:
        raise HarnessError(f"there is no {page}, or it is private: then `hf auth login`") from None
    except errors.EntryNotFoundError as error:
        raise HarnessError(f"{page} lacks a file that is needed: {one_line(error)}") from None
    except Exception as error:  # whatever the hub's client and the network raise
        raise HarnessError(f"{repo} cannot be downloaded: {one_line(error)}") from None


def reachable(url: str) -> bool:
    """Whether a server answers at all, within some seconds; the hub's client would retry for a minute."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:  # it answered
        return True
    except (OSError, ValueError):
        return False
    return True
