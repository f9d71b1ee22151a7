"""Public dictionaries by SAELens' release names: their repository and folder on the hub."""

from __future__ import annotations

from typing import NamedTuple

from leakscope.errors import InputError


class Release(NamedTuple):
    """Dictionaries of one model.

    Args:
        repo: id on the hub.
        folder: in it, with ``{layer}`` for the number of the block that a file is named by.
        after: the files are named by the block before the residual stream that they read, not by the one behind it.
        centre: they read residuals without their mean: SAELens says so of the release, the files themselves do not.
    """

    repo: str
    folder: str
    after: bool = False
    centre: bool | None = None


class Place(NamedTuple):
    """A folder of a repository; ``centre`` is what is known of the release, None what is to be read in the files."""

    repo: str
    folder: str
    centre: bool | None


# As `pretrained_saes.yaml` of SAELens 6.54 has them.
RELEASES = {
    "gpt2-small-res-jb": Release("jbloom/GPT2-Small-SAEs-Reformatted", "blocks.{layer}.hook_resid_pre", centre=True),
    "gpt2-small-resid-post-v5-32k": Release(
        "jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs", "v5_32k_layer_{layer}.pt", after=True
    ),
    "gpt2-small-resid-post-v5-128k": Release(
        "jbloom/GPT2-Small-OAI-v5-128k-resid-post-SAEs", "v5_128k_layer_{layer}", after=True
    ),
    "pythia-70m-deduped-res-sm": Release("ctigges/pythia-70m-deduped__res-sm_processed", "{layer}-res-sm", after=True),
    "gemma-2-2b-res-matryoshka-dc": Release(
        "chanind/gemma-2-2b-batch-topk-matryoshka-saes-w-32k-l0-40",
        "standard/blocks.{layer}.hook_resid_post",
        after=True,
    ),
    "gemma-2-9b-res-matryoshka-dc": Release(
        "chanind/gemma-2-9b-batch-topk-matryoshka-saes-w-32k-l0-60", "blocks.{layer}.hook_resid_post", after=True
    ),
}


def find_release(release: str, folder: str | None, layer: int | None) -> Place:
    """Return the repository and folder of a dictionary on the hub.

    Args:
        release: the name of a release, or the id of a repository.
        folder: in the repository; None: that of the release for ``layer``.
        layer: whose input the dictionary reads.

    Raises:
        InputError: the arguments do not determine a folder.
    """
    known = RELEASES.get(release)
    if known is None:
        if "/" not in release:
            raise InputError(
                f"release: got {release!r}; allowed: {', '.join(sorted(RELEASES))}, or the id of a repository "
                "(owner/name) and a `folder` in it."
            )
        if folder is None:
            raise InputError(
                f"release {release}: got no `folder`; allowed: a folder of the repository, with a cfg.json."
            )
        return Place(release, folder, None)
    if folder is not None:
        return Place(known.repo, folder, known.centre)
    number = None if layer is None else layer - known.after
    if number is None or number < 0:
        allowed = f"from {int(known.after)}" if layer is not None else "the number of one, or a `folder`"
        raise InputError(f"release {release}: layer: got {layer}; allowed: {allowed}.")
    return Place(known.repo, known.folder.format(layer=number), known.centre)
