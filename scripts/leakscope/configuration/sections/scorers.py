"""The section ``scorers``: a catalogue of similarities between a concept and a text, and of judges, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import Described, Flag, Language, Nullable, Positive, Several, Text

# After `package:` comes a module.
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
    package. With `tokenizer`: a safetensors file of static embeddings, one matrix with a row per token."""
    tokenizer: Nullable[EncoderFile] = None
    """For static embeddings: the tokenizer's file in the format of the package tokenizers (`tokenizer.json`). A text's
    embedding is the mean of its tokens' rows; texts may have any length. `null`: `model` is a complete encoder."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of an encoder on the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts encoded at once; affects only speed and memory."""
    languages: Nullable[Several[Language]] = None
    """Languages that the encoder supports, such as `[en]`; the result page warns about prompts in other languages.
    `null`: unknown, no warning."""


class BertScore(Described):
    """BERTScore F1 with the concept as candidate and the text as reference, without idf and rescaling."""

    kind: Literal["bert_score"]
    model: Encoder
    """Encoder: a name on the hub, a folder, or `package:<module>/<folder>`, a folder inside an installed Python
    package."""
    num_layers: Positive
    """Encoder layer whose states are compared, from 1."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of an encoder on the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts encoded at once; affects only speed and memory."""
    languages: Nullable[Several[Language]] = None
    """Languages that the encoder supports, such as `[en]`; the result page warns about prompts in other languages.
    `null`: unknown, no warning."""


class Lexical(Described):
    """1 if the text contains the concept in any inflected form, else 0."""

    kind: Literal["lexical"]


class Classifier(Described):
    """Probability, 0 to 1, that a sequence classifier assigns to the concept's label given the text. Suits concepts
    that are no words of a text (sentiment, toxicity). Each text is classified once."""

    kind: Literal["classifier"]
    model: Encoder
    """A transformers classifier with the names of its labels in config.json: a name on the hub, a folder, or
    `package:<module>/<folder>`, a folder inside an installed Python package."""
    labels: dict[Text, Text] = {}
    """Concept → its label. Other concepts have the label of the same name, ignoring case."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of a classifier on the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts classified at once; affects only speed and memory."""
    languages: Nullable[Several[Language]] = None
    """Languages that the classifier supports, such as `[en]`; the result page warns about prompts in other languages.
    `null`: unknown, no warning."""


class Judge(Described):
    """A language model that takes the match-rate test on the items that `rating` samples. It gives no similarity, so
    match rates and Leak-Rates are not computed with it."""

    kind: Literal["judge"]
    model: Text
    """A name of `models`, in the study or not. A model that runs here chooses the most probable answer; a model behind
    a server is asked at temperature 0 and its answer is parsed."""
    question: Literal["match", "leak"] = "match"
    """Question. `match`: two concepts and two texts, which text belongs to which concept? `leak`: one concept and two
    texts, which text has more to do with it?"""
    both_orders: Flag = True
    """Whether every item is asked twice, with its texts in both orders; `false`: once, in random order."""
    prompts: Nullable[Text] = None
    """File with the wording of the question (schemas/judge.schema.json). `null`: `data/judges/<question>.yaml`."""
    max_tokens: Positive = 16
    """Maximum answer length, in tokens, of a model behind a server."""


Scorer = Annotated[SentenceTransformers | BertScore | Lexical | Classifier | Judge, Field(discriminator="kind")]
