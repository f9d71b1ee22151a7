"""The section ``scorers``: a catalogue of similarities between a concept and a text, and of judges, by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import Described, Flag, Language, Nullable, Positive, Several, Text

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


class Classifier(Described):
    """Probability that a sequence classifier gives to the concept's label when it reads the text, 0 to 1: a concept
    need not be a word that a text could hold (sentiment, toxicity). Each text is read once."""

    kind: Literal["classifier"]
    model: Encoder
    """Classifier as transformers saves it, with the names of its labels in config.json: a name on the hub, a folder, or
    `package:<module>/<folder>`, a folder inside an installed Python package."""
    labels: dict[Text, Text] = {}
    """Concept → its label. A concept that is not named here has the label of the same name, whatever its case."""
    revision: Nullable[Text] = None
    """Branch, tag or commit of a classifier of the hub; `null`: the hub's default branch."""
    batch_size: Positive = 256
    """Texts read at once; speed and memory only."""
    languages: Nullable[Several[Language]] = None
    """What the classifier was made to read, such as `[en]`; the result page says where prompts are in another language.
    `null`: not known, and nothing is said."""


class Judge(Described):
    """A language model that takes the test of the match rate itself, on the items that `rating` samples. No similarity:
    match rates and Leak-Rates are not computed with it."""

    kind: Literal["judge"]
    model: Text
    """A name of `models`, in the study or not. One that runs here chooses the answer that it finds most probable; one
    behind a server is asked at temperature 0, and its answer read."""
    question: Literal["match", "leak"] = "match"
    """What is asked. `match`: two concepts and two texts, which text belongs to which concept? `leak`: one concept and
    two texts, which text has more to do with it?"""
    both_orders: Flag = True
    """Whether every item is asked twice, with its texts in both orders; otherwise once, in an order drawn for it."""
    prompts: Nullable[Text] = None
    """File with the wording of the question (schemas/judge.schema.json). `null`: `data/judges/<question>.yaml`."""
    max_tokens: Positive = 16
    """Tokens of an answer at most, of a model behind a server."""


Scorer = Annotated[SentenceTransformers | BertScore | Lexical | Classifier | Judge, Field(discriminator="kind")]
