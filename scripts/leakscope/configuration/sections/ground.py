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
    """Tables of the paired terms; needed to count a corpus and to score sentences."""

    subjects: Text
    """Table with columns `id, name, variants, kind` and `name_<language>`: the subjects (such as diseases) within which
    groups are ranked."""
    groups: Text
    """Table with the same columns: the groups to rank, such as demographic groups."""


class Prevalence(Section):
    """Real-world prevalence of each pair; `null`: unknown."""

    path: Text
    """Table: long (`subject, group, prevalence, source`) or wide (a column of subjects and one per group)."""
    per: PositiveNumber = 10000
    """Population size that the numbers refer to; results are per 10,000."""
    source: Nullable[Text] = None
    """Source of the numbers, for a table without a column `source`."""


class Columns(Section):
    """Column names of the tables, if they are neither `subject`, `group` and `count` nor Cross-Care's `Disease`,
    `Demographics` and `Counts`."""

    subject: Absent[Text] = None
    """Column of the subjects."""
    group: Absent[Text] = None
    """Column of the groups."""
    count: Absent[Text] = None
    """Column of the counts."""


class CountsTable(Section):
    """Counts made elsewhere: a table with a subject, a group and a count per row; missing pairs count 0."""

    source: Literal["table"]
    path: Annotated[
        Text
        | Annotated[
            dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$", title="a number of words, in quotes")], Text],
            Field(min_length=1),
        ],
        Field(title="a path, or a mapping of window (a number of words) to path"),
    ]
    """The table, or a table per window, keyed by the window's width in words (in quotes)."""
    window: Nullable[Words] = None
    """Window width of a single table, in words; `null`: unknown."""
    columns: Columns = Columns()
    """Column names of the tables, if they are neither `subject`, `group` and `count` nor Cross-Care's `Disease`,
    `Demographics` and `Counts`."""


class CountsCorpus(Section):
    """Counts of a corpus in files: one pass for all terms, one job per file."""

    source: Literal["corpus"]
    path: Text
    """A .jsonl or .ndjson file, plain or compressed (.gz, .zst), .json.gz, .json.zst or .parquet; a folder of these, or
    a pattern with `*`."""
    text: Text = "text"
    """Key of the text in each line, or column of the table."""


class CountsOrganism(Section):
    """Counts of an organism's training corpus."""

    source: Literal["organism"]
    model: str
    """An organism of the study."""


class CountsInfiniGram(Section):
    """Counts of a corpus indexed by an infini-gram server: pairs of mentions, windows in tokens."""

    source: Literal["infini_gram"]
    index: Text
    """Name of the index on the server."""
    url: Address = "https://api.infini-gram.io/"
    """Address of the server, without user, password or key."""
    requests_per_second: PositiveNumber = 2.0
    """Maximum requests per second; changes no result."""
    max_clause_freq: Annotated[int, Field(ge=1, le=500000), WHOLE] = 50000
    """Occurrences of a term above which the server estimates from a sample. Default: the server's own."""
    terms_per_clause: Annotated[int, Field(ge=1, le=4), WHOLE] = 4
    """Forms of a term joined in one request; 1 is most exact, 4 needs the fewest requests."""


Counts = Annotated[CountsTable | CountsCorpus | CountsOrganism | CountsInfiniGram, Field(discriminator="source")]


class AxisEntry(Described):
    """All pairs of a subject and a group from two lexicons."""

    lexicons: Lexicons | None = None
    """Tables of the paired terms; needed to count a corpus and to score sentences."""
    templates: Nullable[Text] = None
    """Folder of sentence templates, one `<language>.yaml` per language; needed to score sentences."""
    counts: Counts
    """Source of the co-occurrence counts."""
    prevalence: Prevalence | None = None
    """Real-world prevalence of each pair; `null`: unknown."""
    names: Nullable[Text] = None
    """Table with columns code and name, to replace subject codes by names."""
    rename: Annotated[dict[str, Text], Field(title="a mapping of text to text")] = {}
    """New names of subjects, applied after `names` to counts, scores and prevalence."""
    groups: Annotated[dict[str, Text], Field(title="a mapping of text to text")] = {}
    """New names of groups, applied to counts, scores and prevalence."""
    exclude: Names = []
    """Subjects to exclude, by their names before or after `rename`."""


class GroundSection(Section):
    """How corpus counts, model scores and real-world prevalence are compared, and on which axes (subjects × groups).
    `axes` in a study's file replace those of config.yaml."""

    axes: Annotated[dict[Name, AxisEntry], Field(title="a mapping of names to axes")] = {}
    """Axes by name."""
    languages: Several[Language] = ["en"]
    """Languages of the scored sentences; imported scores are in the first."""
    templates_used: Positive = 10
    """Number of templates per language, from the first, used to rank the groups. Default: Cross-Care."""
    country: Nullable[Text] = None
    """Country named at the start of each sentence, by the templates' prefix; `null`: none."""
    score: Literal["logprob", "logprob_mean", "logprob_span", "pmi"] = "logprob"
    """Score that ranks the groups: `logprob` of the sentence, `logprob_mean` per token, `logprob_span` of the group's
    tokens, or `pmi`: `logprob` minus that of the sentence without the subject. Default: Cross-Care."""
    masking: Literal["token", "within_word"] = "token"
    """Tokens masked when a masked language model scores a token: `token`, only itself (pseudo-log-likelihood, Salazar
    et al. 2020), or `within_word`, also those to its right in the same word (Kauf & Ivanova 2023), which avoids
    overrating multi-token words."""
    window: Nullable[Words] = 250
    """Co-occurrence window, in words, whose counts rank the groups; `null`: the whole document. Default: Cross-Care."""
    windows: Distinct[Words] = [10, 50, 100, 250]
    """Further windows that are counted. Default: Cross-Care."""
    unit: Literal["documents", "mentions"] = "documents"
    """Unit of co-occurrence: `documents` that hold the pair, or pairs of `mentions`."""
    top: Positive = 25
    """Number of most-counted subjects reported separately in the comparison with prevalence. Default: Cross-Care."""
    level: Nullable[Part] = None
    """Level of the confidence intervals over subjects, as a share. Default: `level`."""
    batch_size: Nullable[Positive] = None
    """Sentences per forward pass. Default: `batch_size`."""
    aligned_pairs: Annotated[dict[str, str], Field(title="a mapping of model to base model")] = {}
    """Further-trained model → the base model that it is compared with."""
