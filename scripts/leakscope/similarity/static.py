"""Static embeddings: a text's embedding is the mean of its tokens' vectors, which do not depend on context.

A text may have any length. An encoder consists of two files, a matrix and a tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leakscope.errors import InputError
from leakscope.files.reading import check_regular, in_one_line

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

MATRIX = "weights in safetensors that hold one matrix, a row a token"
TOKENIZER = "a tokenizer in one file, as the package tokenizers writes it (tokenizer.json)"


def open_static(weights: Path, tokenizer: Path) -> SentenceTransformer:
    """Return an encoder that averages the matrix rows of a text's tokens, on the CPU in float32.

    No special tokens are added, and nothing is truncated.

    Args:
        weights: a safetensors file with one matrix, (tokens, width).
        tokenizer: a file of the package tokenizers; its token ids are rows of the matrix.

    Raises:
        InputError: a file has another format, or the tokenizer has ids beyond the matrix.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    matrix, splits = _matrix(weights), _tokenizer(tokenizer)
    largest = max(splits.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= len(matrix):
        raise InputError(
            f"{tokenizer}: got the token id {largest}; allowed: ids below {len(matrix)}, the number of rows in "
            f"{weights}."
        )
    return SentenceTransformer(modules=[StaticEmbedding(splits, embedding_weights=matrix)], device="cpu")


def _matrix(path: Path) -> torch.Tensor:
    from safetensors.torch import load_file

    check_regular(path)
    with in_one_line(path, MATRIX):
        tensors = load_file(path)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if len(shapes) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise InputError(f"{path}: got the shapes {shapes}; allowed: {MATRIX}.")
    matrix: torch.Tensor = next(iter(tensors.values())).float()
    return matrix


def _tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    check_regular(path)
    with in_one_line(path, TOKENIZER):
        tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    return tokenizer
