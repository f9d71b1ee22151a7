"""What is known of one model, on one page that can be sent, and in a file that can be compared?

Reads match rates and what stands beside them; writes the card of a model as JSON, as a page, and as Markdown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leakscope.configuration.resolved import SERVED
from leakscope.files.tables import read_csv, read_tables
from leakscope.jobs.job import job
from leakscope.results.card import CardSubject, CardTables, make_card
from leakscope.results.card_file import write_card
from leakscope.results.card_page import card_document
from leakscope.results.document import as_html, as_markdown
from leakscope.results.rows import pairs_of_texts, rate_rows
from leakscope.storage.manifests import read_manifest
from leakscope.web.pages import write_page
from leakscope.workflow.surroundings import sha256_of, shown_value, surroundings

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

    snakemake: Snakemake

# File → what it is called on the card; below the folder of the card.
LINKS = {"card of the model as JSON": "{}.json", "as Markdown": "{}.md", "every text": "../explorer.html"}


def main(snakemake: "Snakemake") -> None:
    known, model = snakemake.params.card, snakemake.wildcards.model
    subject = CardSubject(
        study=known["configuration"]["study"]["name"],
        model=model,
        label=known["names"][model],
        **known["leading"],
        **{key: known[key] for key in ("languages", "organisms", "standard", "level", "kept", "unread")},
    )
    card = make_card(read_card_tables(snakemake), subject, settings_of(snakemake.input, known))
    document = card_document(card, {text: file.format(model) for text, file in LINKS.items()})
    write_card(card, Path(snakemake.output.card))
    write_page(Path(snakemake.output.page), as_html(document, Path(snakemake.input.template[0])))
    write_page(Path(snakemake.output.text), as_markdown(document))


def read_card_tables(snakemake: "Snakemake") -> CardTables:
    files = snakemake.input
    rates, leak_rates = map(read_csv, files.rates)
    prompts = read_tables([path for path in files.prompts if path.endswith(".parquet")])
    pairs = pairs_of_texts(read_tables(files.texts), prompts)
    truth, *others = (read_optional(files.get(name)) for name in ("truth", "logit_leak", "calibration", "mitigations"))
    rows = rate_rows(rates, leak_rates, pairs, truth, snakemake.params.card["names"])
    return CardTables(rows, rates, read_tables(files.units), *others)


def read_optional(path: Any) -> pd.DataFrame | None:
    return read_csv(path) if path else None


def settings_of(files: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return configuration, hashes and versions under the keys of provenance.json."""
    records = zip(known["recorded"], map(Path, files.records), strict=True)
    prompts = [Path(path) for path in files.prompts if path.endswith(".csv")]
    return {
        "configuration": known["configuration"],
        "models": {name: model_record(name, path, known) for name, path in records},
        "prompt_sets": {path.stem: {"sha256": sha256_of(path)} for path in prompts},
        "scorers": {Path(path).stem: {"commit": read_manifest(Path(path)).get("commit")} for path in files.encoders},
        **surroundings(),
    }


def model_record(name: str, path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a model's weights, of who answered, or of the files of texts that somebody brought."""
    source = known["configuration"]["models"][name]["source"]
    if name in known["brought"]:
        files = known["brought"][name]
        return {"source": source, "sha256": {key: sha256_of(Path(file)) for key, file in files.items()}}
    record: dict[str, Any] = shown_value(read_manifest(path))
    return {"source": source, "answered_by": record.get("answered_by")} if source == SERVED else record


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake)
