"""Installs mitigations in a loaded model.

A change is plain JSON with a ``kind``:

* ``edits``: ``edits``, each as of ``models.editing.edits``, in their order;
* ``attention``: ``layers``, ``alpha``, ``terms`` (see ``attention``);
* ``decoding``: ``alpha``, ``pairs`` (see ``contrast``);
* ``prompt``: ``wording``, that prompts are put with: the model computes what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from leakscope.errors import one_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EDITS, ATTENTION, DECODING, PROMPT = KINDS = ("edits", "attention", "decoding", "prompt")


class Mitigation(ExitStack):
    """An installed mitigation, active until it is removed or the context is left."""

    def remove(self) -> None:
        """Remove the mitigation."""
        self.close()


def install(
    model: PreTrainedModel, change: Mapping[str, Any], dictionary: Mapping[str, Any] | None = None
) -> Mitigation:
    """Apply a change to a model until the returned object removes it.

    Args:
        model: causal.
        change: as JSON.
        dictionary: manifest of the dictionary of its features.

    Raises:
        InputError: the change is of no such kind, or does not fit the model or the dictionary.
    """
    check_kind(change)
    mitigation = Mitigation()
    try:
        _install(model, change, dictionary, mitigation)
    except BaseException:
        mitigation.remove()
        raise
    return mitigation


def has_features(change: Mapping[str, Any]) -> bool:
    """Return whether a change needs a dictionary."""
    return any(edit["features"] for edit in change.get("edits", ()))


def check_kind(change: Mapping[str, Any]) -> None:
    """Check that the kind of a change is known.

    Raises:
        InputError: the kind is unknown.
    """
    if change["kind"] not in KINDS:
        raise one_of("mitigation: kind", change["kind"], KINDS)


def _install(
    model: PreTrainedModel, change: Mapping[str, Any], dictionary: Mapping[str, Any] | None, mitigation: Mitigation
) -> None:
    # Imported here: manifests are written where no model is.
    if change["kind"] == EDITS:
        from leakscope.models.editing import edits
        from leakscope.models.editing.dictionary_files import open_dictionary

        opened = open_dictionary(dictionary) if dictionary is not None and has_features(change) else None
        for edit in change["edits"]:
            mitigation.callback(edits.install(model, edits.from_json(edit), opened).remove)
    elif change["kind"] == ATTENTION:
        from leakscope.models.mitigating.attention import install_attention

        for undo in install_attention(model, change["layers"], change["alpha"], change["terms"]):
            mitigation.callback(undo)
    elif change["kind"] == DECODING:
        from leakscope.models.mitigating.contrast import install_contrast

        for undo in install_contrast(model, change["alpha"], change["pairs"]):
            mitigation.callback(undo)
