"""The section ``ground``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leakscope.typed.values import (
    WHOLE,
    Absent,
    Address,
    Described,
    Distinct,
    Language,
    Name,
    Names,
    Nullable,
    Part,
    Positive,
    PositiveNumber,
    Section,
    Several,
    Text,
)

# The width of a window.
Words = Annotated[int, Field(ge=1, le=1000), WHOLE]


class Lexicons(Section):
    """Tables of the concepts that are paired; needed to count a corpus and to score sentences."""

    subjects: Text
    """Table `id, name, variants, kind`, and `name_<language>`: what is ranked within, such as diseases."""
    groups: Text
    """Likewise: what is ranked, such as demographic groups."""


class Prevalence(Section):
    """How frequent each pair is in the world; `null`: not known."""

    path: Text
    """Table: long (`subject, group, prevalence, source`) or wide (a column of subjects, one for each group)."""
    per: PositiveNumber = 10000
    """Of how many persons the numbers are; results are per 10,000."""
    source: Nullable[Text] = None
    """Where the numbers come from, of a table without a column `source`."""


class Columns(Section):
    """What the tables call `subject`, `group` and `count`, where it is neither that nor, as in Cross-Care, `Disease`,
    `Demographics` and `Counts`."""

    subject: Absent[Text] = None
    """Column of the subject."""
    group: Absent[Text] = None
    """Column of the group."""
    count: Absent[Text] = None
    """Column of the count."""


class CountsTable(Section):
    """Counts made elsewhere: a table with a subject, a group and a count in each row; a missing pair counts 0."""

    source: Literal["table"]
    path: Annotated[
        Text
        | Annotated[
            dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$", title="a number of words, in quotes")], Text],
            Field(min_length=1),
        ],
        Field(title="a path, or a mapping of window (a number of words) to path"),
    ]
    """The table; or one for each window, by its width in words (in quotes)."""
    window: Nullable[Words] = None
    """Width in words of the window of a single table; `null`: not known."""
    columns: Columns = Columns()
    """What the tables call `subject`, `group` and `count`, where it is neither that nor, as in Cross-Care, `Disease`,
    `Demographics` and `Counts`."""


class CountsCorpus(Section):
    """Counts of a corpus in files: one pass for all terms, a job for each file."""

    source: Literal["corpus"]
    path: Text
    """A .jsonl or .ndjson file, plain or packed (.gz, .zst), .json.gz, .json.zst or .parquet; a folder of these, or a
    pattern with `*`."""
    text: Text = "text"
    """Key of the text in each line, or column of the table."""


class CountsOrganism(Section):
    """Counts of the corpus that an organism was trained on."""

    source: Literal["organism"]
    model: str
    """An organism of the study."""


class CountsInfiniGram(Section):
    """Counts of a corpus that an infini-gram server has indexed; mention pairs, windows in tokens."""

    source: Literal["infini_gram"]
    index: Text
    """Name of the index on the server."""
    url: Address = "https://api.infini-gram.io/"
    """Address of the server; without a user, password or key."""
    requests_per_second: PositiveNumber = 2.0
    """At most so many requests; changes no result."""
    max_clause_freq: Annotated[int, Field(ge=1, le=500000), WHOLE] = 50000
    """Above so many occurrences of a term the server estimates from a sample. Default: the server's own."""
    terms_per_clause: Annotated[int, Field(ge=1, le=4), WHOLE] = 4
    """How many forms of a concept are joined in one request; 1 counts best, 4 asks least."""


Counts = Annotated[CountsTable | CountsCorpus | CountsOrganism | CountsInfiniGram, Field(discriminator="source")]


class AxisEntry(Described):
    """Pairs of a lexicon of subjects and one of groups."""

    lexicons: Lexicons | None = None
    """Tables of the concepts that are paired; needed to count a corpus and to score sentences."""
    templates: Nullable[Text] = None
    """Folder of sentence templates, `<language>.yaml` for each language; needed to score sentences."""
    counts: Counts
    """Where co-occurrence counts come from."""
    prevalence: Prevalence | None = None
    """How frequent each pair is in the world; `null`: not known."""
    names: Nullable[Text] = None
    """Table of two columns, code and name: what codes of subjects are called."""
    rename: Annotated[dict[str, Text], Field(title="a mapping of text to text")] = {}
    """Other names of subjects, after `names`; in counts, scores and prevalence alike."""
    groups: Annotated[dict[str, Text], Field(title="a mapping of text to text")] = {}
    """Other names of groups; in counts, scores and prevalence alike."""
    exclude: Names = []
    """Subjects to leave out everywhere, by their name before or after `rename`."""


class GroundSection(Section):
    """How counts, models and prevalence are compared, and on which axes: pairs of a lexicon of subjects and one of
    groups. A study that names axes has these alone."""

    axes: Annotated[dict[Name, AxisEntry], Field(title="a mapping of names to axes")] = {}
    """Axes by name."""
    languages: Several[Language] = ["en"]
    """Languages of the sentences that models score, the first one that of imported scores."""
    templates_used: Positive = 10
    """So many templates of a language, the first ones, rank the groups. Default: Cross-Care."""
    country: Nullable[Text] = None
    """Country that each sentence begins with, by the prefix of the templates; `null`: none."""
    score: Literal["logprob", "logprob_mean", "logprob_span", "pmi"] = "logprob"
    """By which score models rank: `logprob` of the sentence, `logprob_mean` per token, `logprob_span` of the group's
    tokens, or `pmi`, less the sentence without the subject. Default: Cross-Care."""
    masking: Literal["token", "within_word"] = "token"
    """What a masked model does not see when it scores a token: the `token` alone, whose sum is the
    pseudo-log-likelihood (Salazar et al. 2020), or `within_word` all to its right in its word, too (Kauf & Ivanova
    2023), so that long words gain nothing by their own parts."""
    window: Nullable[Words] = 250
    """Window in words whose counts rank the groups; `null`: anywhere in a document. Default: Cross-Care."""
    windows: Distinct[Words] = [10, 50, 100, 250]
    """Windows that are counted beside it. Default: Cross-Care."""
    unit: Literal["documents", "mentions"] = "documents"
    """What is counted of a corpus: documents that join the pair, or pairs of mentions."""
    top: Positive = 25
    """So many subjects with the highest counts are set apart beside prevalence. Default: Cross-Care."""
    level: Nullable[Part] = None
    """Level of the intervals for other subjects, as a share. Default: `level`."""
    batch_size: Nullable[Positive] = None
    """Sentences that a model reads at once. Default: `batch_size`."""
    aligned_pairs: Annotated[dict[str, str], Field(title="a mapping of model to base model")] = {}
    """Models that were trained further, each with the base model it is compared with."""
