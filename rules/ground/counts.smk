# corpora, indices, tables → results/<study>/ground/counts/ and prevalence/: how often each pair is mentioned, and how
# common it is in the world. Counts of files, tables or an index come in side by side under one set of names.


wildcard_constraints:
    **ground.wildcards(),


rule count_corpus:
    input:
        corpus=lambda w: ground.corpus_files(w.counted)[w.file],
        lexicons=lambda w: ground.lexicon_files(ground.passes[w.counted]),
        code=code("ground/count_corpus"),
    output:
        multiext(
            "<ground>/counts/{counted}.parts/{file}", pairs=".pairs.parquet", terms=".terms.parquet", totals=".json"
        ),
    log:
        "<logs>/count_corpus/{counted}/{file}.log",
    conda:
        "../../envs/counting.yaml"
    resources:
        # A gigabyte of text takes half a minute; a shard of the Pile has forty.
        runtime=growing(120),
    params:
        axes=lambda w: ground.lexicons(w.counted),
        text=lambda w: ground.text_key(w.counted),
    script:
        "../../scripts/ground/count_corpus.py"


rule gather_counts:
    input:
        pairs=lambda w: ground.parts(w.corpus_axis, "<ground>/counts/{counted}.parts/{file}.pairs.parquet"),
        terms=lambda w: ground.parts(w.corpus_axis, "<ground>/counts/{counted}.parts/{file}.terms.parquet"),
        totals=lambda w: ground.parts(w.corpus_axis, "<ground>/counts/{counted}.parts/{file}.json"),
        naming=lambda w: ground.naming_files(w.corpus_axis),
        code=code("ground/gather_counts"),
    output:
        multiext("<ground>/counts/{corpus_axis}", counts=".parquet", table=".csv", terms=".terms.csv", totals=".json"),
    log:
        "<logs>/gather_counts/{corpus_axis}.log",
    conda:
        "../../envs/counting.yaml"
    params:
        axes=lambda w: ground.lexicons(ground.pass_of[w.corpus_axis]),
        naming=lambda w: ground.naming(w.corpus_axis),
        windows=ground.windows,
    script:
        "../../scripts/ground/gather_counts.py"


rule query_counts:
    input:
        naming=lambda w: ground.naming_files(w.indexed_axis),
        code=code("ground/query_counts"),
    output:
        multiext("<ground>/counts/{indexed_axis}", counts=".parquet", table=".csv", terms=".terms.csv", totals=".json"),
    log:
        "<logs>/query_counts/{indexed_axis}.log",
    # It tries again by itself, and knows for what that is worth it.
    retries: 0
    localrule: True
    conda:
        "../../envs/counting.yaml"
    params:
        source=lambda w: ground.index(w.indexed_axis),
        requests_per_second=lambda w: ground.pace(w.indexed_axis),
        naming=lambda w: ground.naming(w.indexed_axis),
        windows=ground.windows,
        level=ground.settings["level"],
        store=store,
    script:
        "../../scripts/ground/query_counts.py"


# What a person brings is read first: its mistakes are better heard before models run.
rule import_counts:
    input:
        tables=lambda w: ground.count_tables(w.tabulated_axis).values(),
        naming=lambda w: ground.naming_files(w.tabulated_axis),
        code=code("ground/import_counts"),
    output:
        multiext("<ground>/counts/{tabulated_axis}", counts=".parquet", table=".csv"),
    log:
        "<logs>/import_counts/{tabulated_axis}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        axis=lambda w: ground.tabulated(w.tabulated_axis),
    script:
        "../../scripts/ground/import_counts.py"


rule read_prevalence:
    input:
        table=lambda w: ground.axes[w.axis]["prevalence"]["path"],
        naming=lambda w: ground.naming_files(w.axis),
        code=code("ground/read_prevalence"),
    output:
        multiext("<ground>/prevalence/{axis}", prevalence=".parquet", table=".csv"),
    log:
        "<logs>/read_prevalence/{axis}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        axis=lambda w: ground.prevalence(w.axis),
    script:
        "../../scripts/ground/read_prevalence.py"
