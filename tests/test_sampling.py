import numpy as np
import pytest
import torch
from scipy import stats

from leakscope.models import sampling
from leakscope.models.sampling import Decoding, draw_tokens, uniforms, warp_logits

NO_CONTEXT = torch.zeros(1, 1, dtype=torch.long)


def test_uniforms_are_a_pure_function_of_their_key() -> None:
    assert np.array_equal(uniforms("a prompt", 0, 3, 10), uniforms("a prompt", 0, 3, 10))


@pytest.mark.parametrize("other", [("b prompt", 0, 3), ("a prompt", 1, 3), ("a prompt", 0, 4)])
def test_uniforms_differ_with_prompt_seed_and_sample(other: tuple[str, int, int]) -> None:
    assert not np.intersect1d(uniforms("a prompt", 0, 3, 50), uniforms(*other, 50)).size


def test_longer_requests_begin_with_the_numbers_of_shorter_ones() -> None:
    assert np.array_equal(uniforms("a prompt", 0, 3, 50)[:7], uniforms("a prompt", 0, 3, 7))


def test_uniforms_are_uniform() -> None:
    values = np.concatenate([uniforms(f"prompt {i}", 0, i % 5, 10) for i in range(2000)])
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_uniforms_stay_the_same_over_releases() -> None:
    # Frozen: another value would silently give every stored study other texts.
    assert uniforms("abc", 0, 1, 3).tolist() == pytest.approx([0.57703823, 0.15209741, 0.45810173], abs=1e-8)


def test_a_token_is_the_inverse_of_the_cumulative_distribution() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.0, 0.7]]))
    uniform = torch.tensor([[0.0, 0.0999, 0.1001, 0.2999, 0.3001, 0.9999]], dtype=torch.float64)
    assert draw_tokens(logits, NO_CONTEXT, Decoding(1.0), uniform).tolist() == [[0, 0, 1, 1, 3, 3]]


def test_rows_drawn_a_few_at_a_time_are_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, uniform = torch.randn(11, 50), torch.rand(11, 3, dtype=torch.float64)
    context = torch.randint(50, (11, 4))
    decoding = Decoding(0.7, top_k=20, repetition_penalty=1.3)
    whole = draw_tokens(logits, context, decoding, uniform)
    monkeypatch.setitem(sampling.BYTES_AT_ONCE, "cpu", 8 * 50 * 2)
    assert draw_tokens(logits, context, decoding, uniform).equal(whole)


def test_drawn_tokens_follow_the_tempered_law() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    n = 20_000
    uniform = torch.from_numpy(np.random.default_rng(0).random((1, n)))
    drawn = draw_tokens(logits[None], NO_CONTEXT, Decoding(0.5), uniform)[0]
    counts = torch.bincount(drawn, minlength=4).numpy()
    expected = torch.softmax(logits / 0.5, -1).double().numpy()
    assert stats.chisquare(counts, n * expected / expected.sum()).pvalue > 0.01


def test_temperature_zero_takes_the_largest_logit() -> None:
    uniform = torch.tensor([[0.0, 0.999]], dtype=torch.float64)
    assert draw_tokens(torch.tensor([[0.0, 3.0, 1.0]]), NO_CONTEXT, Decoding(0), uniform).tolist() == [[1, 1]]


def test_top_k_and_top_p_cut_the_tail() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    context = torch.zeros(1, 1, dtype=torch.long)
    assert torch.isfinite(warp_logits(logits, context, Decoding(1.0, top_k=2))).tolist() == [[True, True, False, False]]
    assert torch.isfinite(warp_logits(logits, context, Decoding(1.0, top_p=0.9))).tolist() == [
        [True, True, True, False]
    ]


def test_repetition_penalty_acts_on_the_context_only() -> None:
    logits = torch.tensor([[2.0, 2.0, -2.0]])
    warped = warp_logits(logits, torch.tensor([[0, 0, 2]]), Decoding(1.0, repetition_penalty=2.0))
    assert warped.tolist() == [[1.0, 2.0, -4.0]]
