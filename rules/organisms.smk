# data/grammar/ → results/models/: corpora of planted associations, and small models trained on them.
# Organisms are shared by all studies; nothing here depends on a study's name.


CORPUS_GRAMMARS = {
    corpus_name(entry): {**entry["grammar"], "seed": entry["seed"]} for entry in SPECIES.values()
}
PARTS = {"+".join(entry["grammar"]["parts"]): entry["grammar"]["parts"] for entry in SPECIES.values()}


wildcard_constraints:
    corpus=one_of_names(CORPUS_GRAMMARS),
    parts=one_of_names(PARTS),


rule train_tokenizer:
    input:
        grammar=lambda w: grammar_files(PARTS[w.parts]),
        code=code("train_tokenizer"),
    output:
        expand(f"{TOKENIZERS}/{{{{parts}}}}/{{file}}", file=TOKENIZER_FILES),
    log:
        "results/models/logs/train_tokenizer/{parts}.log",
    benchmark:
        "results/models/benchmarks/train_tokenizer/{parts}.tsv"
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        parts=lambda w: PARTS[w.parts],
        vocab_size=CONFIG["organisms"]["vocab_size"],
    message:
        "Train the tokenizer that organisms of {wildcards.parts} share"
    script:
        "../scripts/train_tokenizer.py"


rule write_corpus:
    input:
        grammar=lambda w: grammar_files(CORPUS_GRAMMARS[w.corpus]["parts"]),
        code=code("write_corpus"),
    output:
        train=f"{CORPORA}/{{corpus}}.jsonl",
        held_out=f"{CORPORA}/{{corpus}}.held_out.jsonl",
    log:
        "results/models/logs/write_corpus/{corpus}.log",
    benchmark:
        "results/models/benchmarks/write_corpus/{corpus}.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        grammar=lambda w: CORPUS_GRAMMARS[w.corpus],
        documents=CONFIG["organisms"]["training"]["documents"],
    message:
        "Write the corpus {wildcards.corpus} from its grammar"
    script:
        "../scripts/write_corpus.py"


rule train_organism:
    input:
        train=lambda w: f"{CORPORA}/{corpus_name(SPECIES[w.model])}.jsonl",
        held_out=lambda w: f"{CORPORA}/{corpus_name(SPECIES[w.model])}.held_out.jsonl",
        tokenizer=lambda w: expand(
            f"{TOKENIZERS}/{{parts}}/{{file}}",
            parts="+".join(SPECIES[w.model]["grammar"]["parts"]),
            file=TOKENIZER_FILES,
        ),
        code=code("train_organism"),
    output:
        expand("results/models/{{model}}/{file}", file=MODEL_FILES + TOKENIZER_FILES),
        manifest="results/models/{model}/model.json",
        training="results/models/{model}/training.json",
    log:
        "results/models/logs/train_organism/{model}.log",
    benchmark:
        "results/models/benchmarks/train_organism/{model}.tsv"
    wildcard_constraints:
        model=one_of_names(name for name in SPECIES if weights(name) == name),
    priority: 10
    conda:
        "../envs/models.yaml"
    # One thread: weights trained with one and with two differ in the last bits, and then in everything.
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        size=lambda w: CONFIG["organisms"]["sizes"][SPECIES[w.model]["size"]],
        training={key: value for key, value in CONFIG["organisms"]["training"].items() if key != "documents"},
        seed=lambda w: SPECIES[w.model]["seed"],
    message:
        "Train {wildcards.model}"
    script:
        "../scripts/train_organism.py"
