from __future__ import annotations

from pathlib import Path

import pytest

from leakscope.models.endings import Limits
from leakscope.models.sampling import Decoding
from leakscope.storage import fingerprints
from leakscope.storage.fingerprints import (
    code_hash,
    log_odds_fingerprint,
    score_fingerprint,
    sentence_fingerprint,
    text_fingerprint,
)
from leakscope.storage.store import fingerprint_hash

MODEL = {"weights_sha256": "a", "settings_sha256": "b", "dtype": "float32", "quantization": None}
DECODING, LIMITS = Decoding(0.5)._asdict(), Limits(10, True, (1,))._asdict()


def of_texts(model=MODEL, decoding=DECODING, limits=LIMITS, seed=0, chat=True) -> str:
    return fingerprint_hash(text_fingerprint(model, decoding, limits, seed=seed, chat=chat))


def test_each_thing_that_determines_a_text_changes_its_fingerprint() -> None:
    changed = [
        *(of_texts(model={**MODEL, key: "another"}) for key in MODEL),
        *(of_texts(decoding={**DECODING, key: 0.25}) for key in DECODING),
        of_texts(limits=Limits(11, True, (1,))._asdict()),
        of_texts(limits=Limits(10, False, (1,))._asdict()),
        of_texts(limits=Limits(10, True, (1, 2))._asdict()),
        of_texts(seed=1),
        of_texts(chat=False),
    ]
    assert len({of_texts(), *changed}) == 1 + len(changed)


def test_thoughts_change_the_fingerprint_of_models_that_have_them_alone() -> None:
    plain = text_fingerprint(MODEL, DECODING, LIMITS, seed=0, chat=True)
    assert set(plain) == {"kind", "revision", "code_sha256", "model", "decoding", "limits", "seed", "chat"}
    thinking = {"begin": "<think>", "end": "</think>", "lead": "", "budget": 12}
    changed = [{**thinking, "budget": 11}, {**thinking, "end": "</thought>"}, thinking, None]
    hashes = {
        fingerprint_hash(text_fingerprint(MODEL, DECODING, LIMITS, seed=0, chat=True, thinking=one)) for one in changed
    }
    assert len(hashes) == 4
    assert of_texts() in hashes


def test_scores_do_not_depend_on_seed_or_length() -> None:
    assert {"seed", "limits"}.isdisjoint(score_fingerprint(MODEL, DECODING, chat=True))


def test_sentences_of_another_model_or_kind_have_another_fingerprint() -> None:
    changed = [sentence_fingerprint({**MODEL, key: "another"}, "causal") for key in MODEL] + [
        sentence_fingerprint(MODEL, "masked"),
        sentence_fingerprint(MODEL, "masked", within_word=True),
    ]
    assert len(
        {fingerprint_hash(fingerprint) for fingerprint in (sentence_fingerprint(MODEL, "causal"), *changed)}
    ) == 1 + len(changed)


def test_log_odds_of_another_model_or_kind_have_another_fingerprint() -> None:
    changed = [log_odds_fingerprint({**MODEL, key: "another"}, "answers") for key in MODEL]
    all_of_them = [log_odds_fingerprint(MODEL, "answers"), log_odds_fingerprint(MODEL, "candidates"), *changed]
    assert len(set(map(fingerprint_hash, all_of_them))) == len(all_of_them)


@pytest.mark.parametrize(
    ("code", "same"),
    [
        ("x = 1\ndef f():\n    return x\n", True),
        ("# why\nx   =   1\n\n\ndef f():\n    return  x  # because\n", True),
        ('"""Module."""\nx = 1\ndef f():\n    """Function."""\n    return x\n', True),
        ("from leakscope.a import b\nx = 1\ndef f():\n    from leakscope import c\n    return x\n", True),
        ("x = 1\ndef f():\n    import leakscope.d\n    return x\n", True),
        ("import numpy\nx = 1\ndef f():\n    return x\n", False),
        ("x = 2\ndef f():\n    return x\n", False),
        ("x = 1\ndef f():\n    return -x\n", False),
        ('x = 1\ndef f():\n    return "x"\n', False),
    ],
)
def test_code_counts_and_comments_and_imports_of_its_own_do_not(tmp_path: Path, code: str, same: bool) -> None:
    (tmp_path / "a.py").write_text("x = 1\ndef f():\n    return x\n")
    (tmp_path / "b.py").write_text(code)
    assert (code_hash([tmp_path / "a.py"]) == code_hash([tmp_path / "b.py"])) == same


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [
        ("texts", "1ee9b73176b7b940"),
        ("scores", "78fc2be5b10aa744"),
        ("embeddings", "1d663e657edd9452"),
        ("sentences", "57cbc93ecca6ebb5"),
        ("sentences_within_word", "d3759da05f66fb07"),
        ("log_odds", "9122b6c8f67d7f2e"),
    ],
)
def test_code_of_a_fingerprint_stays_the_same_over_releases(root: Path, kind: str, frozen: str) -> None:
    """Another hash computes everything anew that users have stored: on purpose only. Then freeze it here again."""
    files = [root / f"scripts/leakscope/{module}.py" for module in fingerprints.MODULES[kind]]
    assert code_hash(files)[:16] == frozen


def test_every_kind_of_fingerprint_has_a_revision() -> None:
    assert fingerprints.REVISIONS.keys() == fingerprints.MODULES.keys()
