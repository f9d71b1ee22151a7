from __future__ import annotations

import pytest
import torch

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, is_out_of_memory, shrinking


def work_of(capacity: int, tried: list[int]):
    """Return a function that runs out of memory with more than ``capacity`` items."""

    def work(batch: list[int]) -> list[int]:
        tried.append(len(batch))
        if len(batch) > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    return work


def test_items_are_cut_into_batches_in_order() -> None:
    assert cut([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert cut([], 2) == []


def test_a_batch_that_does_not_fit_is_divided_and_nothing_is_lost() -> None:
    tried: list[int] = []
    results = list(shrinking(cut(list(range(20)), 8), work_of(3, tried)))
    assert [item for batch in results for item in batch] == list(range(20))
    assert max(map(len, results)) <= 3


def test_later_batches_begin_with_what_fitted() -> None:
    tried: list[int] = []
    list(shrinking(cut(list(range(32)), 8), work_of(2, tried)))
    # 8 and 4 are each tried once, in the first batch.
    assert tried == [8, 4, *[2] * 16]


def test_a_single_item_that_does_not_fit_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="out of memory with a single prompt"):
        list(shrinking([[1, 2]], work_of(0, [])))


def test_a_single_item_is_divided_if_it_can_be() -> None:
    def work(batch: list[str]) -> list[str]:
        if sum(map(len, batch)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    def halve(item: str) -> list[str]:
        return [part for part in (item[: (len(item) + 1) // 2], item[(len(item) + 1) // 2 :]) if part]

    assert sum(shrinking([["abcdefg"], ["hi"]], work, halve), []) == ["ab", "cd", "ef", "g", "hi"]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def fail(batch: list[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(shrinking([[1, 2]], fail))


def test_the_machines_own_memory_counts_too() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**45)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory\nmore"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
