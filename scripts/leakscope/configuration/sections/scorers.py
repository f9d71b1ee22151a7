"""The section ``scorers``: a catalogue of similarities between a concept and a text, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import Described, Language, Nullable, Positive, Several, Text

# What begins with `package:` goes on with a module.
PATH = (
    r"^package:[A-Za-z_][A-Za-z0-9_.]*/."
    r"|^(?:[^p]|p[^a]|pa[^c]|pac[^k]|pack[^a]|packa[^g]|packag[^e]|package[^:]|.{1,7}$)"
)
Encoder = Annotated[str, Field(pattern=PATH, title="a name on the hub, a folder, or package:<module>/<folder>")]
EncoderFile = Annotated[str, Field(pattern=PATH, title="a file, or package:<module>/<file>")]


class SentenceTransformers(Described):
    """Cosine of SentenceBERT or static embeddings, −1 to 1."""

    kind: Literal["sentence_transformers"]
    model: Encoder
    """Encoder: a name on the hub, a folder, or `package:<module>/<folder>`, a folder inside an installed Python
    package. With `tokenizer`: a file of static embeddings, safetensors with one matrix, a row a token."""
    tokenizer: Nullable[EncoderFile] = None
    """Of static embeddings: the tokenizer's file, as the package tokenizers writes it (`tokenizer.json`). A text is the
    mean of its tokens' rows, and may have any length. `null`: `model` is a whole encoder."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of an encoder of the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts encoded at once; speed and memory only."""
    languages: Nullable[Several[Language]] = None
    """What the encoder was made to read, such as `[en]`; the result page says where prompts are in another language.
    `null`: not known, and nothing is said."""


class BertScore(Described):
    """F1 of BERTScore with the concept as candidate and the text as reference, no idf, no rescaling."""

    kind: Literal["bert_score"]
    model: Encoder
    """Encoder: a name on the hub, a folder, or `package:<module>/<folder>`, a folder inside an installed Python
    package."""
    num_layers: Positive
    """Layer of the encoder whose states are compared, counted from 1."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of an encoder of the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts encoded at once; speed and memory only."""
    languages: Nullable[Several[Language]] = None
    """What the encoder was made to read, such as `[en]`; the result page says where prompts are in another language.
    `null`: not known, and nothing is said."""


class Lexical(Described):
    """1 where the text holds the concept, in any form that its language gives it, else 0."""

    kind: Literal["lexical"]


Scorer = Annotated[SentenceTransformers | BertScore | Lexical, Field(discriminator="kind")]
