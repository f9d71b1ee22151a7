# data/ground/, corpora, models → results/<study>/ground/: does a model rank pairs as its corpus counts them, or as the
# world is? Counts (of files, tables or an index), scores of sentences and prevalence come in side by side under one set
# of names; what follows compares them.


wildcard_constraints:
    axis=one_of_names(AXES),
    counted=one_of_names(CORPUS_AXES),
    part=r"[^/]+-[0-9a-f]{8}",


rule count_corpus:
    input:
        corpus=lambda w: part_files_of(w.counted)[w.part],
        lexicons=lambda w: lexicon_files(CORPUS_AXES[w.counted]),
        code=code("count_corpus"),
    output:
        pairs=f"{G}/counts/{{counted}}.parts/{{part}}.pairs.parquet",
        terms=f"{G}/counts/{{counted}}.parts/{{part}}.terms.parquet",
        totals=f"{G}/counts/{{counted}}.parts/{{part}}.json",
    log:
        f"{LOGS}/count_corpus/{{counted}}/{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/count_corpus/{{counted}}/{{part}}.tsv"
    conda:
        "../envs/counting.yaml"
    resources:
        mem_mb=growing(2000),
        # A gigabyte of text takes half a minute; a shard of the Pile has forty.
        runtime=growing(120),
    params:
        axes=lambda w: {axis: AXES[axis]["lexicons"] for axis in CORPUS_AXES[w.counted]},
        text=lambda w: corpus_of(w.counted)[1],
    message:
        "Count pairs in {input.corpus}"
    script:
        "../scripts/count_corpus.py"


rule gather_counts:
    input:
        pairs=lambda w: count_parts(CORPUS_OF[w.axis], ".pairs.parquet"),
        terms=lambda w: count_parts(CORPUS_OF[w.axis], ".terms.parquet"),
        totals=lambda w: count_parts(CORPUS_OF[w.axis], ".json"),
        naming=lambda w: naming_files(w.axis),
        code=code("gather_counts"),
    output:
        counts=f"{G}/counts/{{axis}}.parquet",
        table=f"{G}/counts/{{axis}}.csv",
        terms=f"{G}/counts/{{axis}}.terms.csv",
        totals=f"{G}/counts/{{axis}}.json",
    log:
        f"{LOGS}/gather_counts/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/gather_counts/{{axis}}.tsv"
    wildcard_constraints:
        axis=one_of_names(CORPUS_OF),
    conda:
        "../envs/counting.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        axes=lambda w: {axis: AXES[axis]["lexicons"] for axis in CORPUS_AXES[CORPUS_OF[w.axis]]},
        naming=lambda w: naming_settings(w.axis),
        windows=all_windows(),
    message:
        "Add up the counts of {wildcards.axis}"
    script:
        "../scripts/gather_counts.py"


rule query_counts:
    input:
        naming=lambda w: naming_files(w.axis),
        code=code("query_counts"),
    output:
        counts=f"{G}/counts/{{axis}}.parquet",
        table=f"{G}/counts/{{axis}}.csv",
        terms=f"{G}/counts/{{axis}}.terms.csv",
        totals=f"{G}/counts/{{axis}}.json",
    log:
        f"{LOGS}/query_counts/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/query_counts/{{axis}}.tsv"
    wildcard_constraints:
        axis=one_of_names(axis for axis, source in COUNTED_FROM.items() if source == "infini_gram"),
    # It tries again by itself, and knows for what that is worth it.
    retries: 0
    conda:
        "../envs/counting.yaml"
    resources:
        mem_mb=2000,
        runtime=2880,
    params:
        source=lambda w: {
            key: value for key, value in AXES[w.axis]["counts"].items() if key != "requests_per_second"
        },
        requests_per_second=lambda w: AXES[w.axis]["counts"]["requests_per_second"],
        naming=lambda w: naming_settings(w.axis),
        windows=all_windows(),
        store=STORE,
    message:
        "Ask {params.source[url]} for the counts of {wildcards.axis} in {params.source[index]}"
    script:
        "../scripts/query_counts.py"


rule import_counts:
    input:
        tables=lambda w: list(count_tables(w.axis).values()),
        naming=lambda w: naming_files(w.axis),
        code=code("import_counts"),
    output:
        counts=f"{G}/counts/{{axis}}.parquet",
        table=f"{G}/counts/{{axis}}.csv",
    log:
        f"{LOGS}/import_counts/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/import_counts/{{axis}}.tsv"
    wildcard_constraints:
        axis=one_of_names(axis for axis, source in COUNTED_FROM.items() if source == "table"),
    # Mistakes of a person are better heard before models run.
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        windows=lambda w: list(count_tables(w.axis)),
        columns=lambda w: AXES[w.axis]["counts"]["columns"],
        naming=lambda w: naming_settings(w.axis),
    message:
        "Read the counts of {wildcards.axis}"
    script:
        "../scripts/import_counts.py"


rule read_prevalence:
    input:
        table=lambda w: AXES[w.axis]["prevalence"]["path"],
        naming=lambda w: naming_files(w.axis),
        code=code("read_prevalence"),
    output:
        prevalence=f"{G}/prevalence/{{axis}}.parquet",
        table=f"{G}/prevalence/{{axis}}.csv",
    log:
        f"{LOGS}/read_prevalence/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/read_prevalence/{{axis}}.tsv"
    wildcard_constraints:
        axis=one_of_names(PREVALENT),
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lambda w: AXES[w.axis]["prevalence"],
        naming=lambda w: naming_settings(w.axis),
    message:
        "Read the prevalence of {wildcards.axis}"
    script:
        "../scripts/read_prevalence.py"


rule score_sentences:
    input:
        templates=lambda w: sentence_files(w.axis),
        naming=lambda w: naming_files(w.axis),
        manifest=lambda w: manifest(w.model),
        code=code("score_sentences"),
    output:
        scores=f"{G}/scores/{{model}}/{{axis}}.parquet",
        summary=f"{G}/scores/{{model}}/{{axis}}.json",
    log:
        f"{LOGS}/score_sentences/{{model}}/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/score_sentences/{{model}}/{{axis}}.tsv"
    wildcard_constraints:
        model=one_of_names(SCORING),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        loading=lambda w: loading_options(w.model),
        languages=GROUND["languages"],
        templates_used=GROUND["templates_used"],
        country=GROUND["country"],
        templates=lambda w: AXES[w.axis]["templates"],
        naming=lambda w: naming_settings(w.axis),
        batch_size=GROUND["batch_size"],
        store=STORE,
    message:
        "Score the sentences of {wildcards.axis} under {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/score_sentences.py"


rule import_scores:
    input:
        scores=lambda w: list(scores_inputs(w).values()),
        naming=lambda w: naming_files(w.axis),
        code=code("import_scores"),
    output:
        scores=f"{G}/scores/{{model}}/{{axis}}.parquet",
    log:
        f"{LOGS}/import_scores/{{model}}/{{axis}}.log",
    benchmark:
        f"{BENCHMARKS}/import_scores/{{model}}/{{axis}}.tsv"
    wildcard_constraints:
        model=one_of_names(model for model in RANKED if model not in SCORING),
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        languages=lambda w: list(scores_inputs(w)),
        templates_used=GROUND["templates_used"],
        naming=lambda w: naming_settings(w.axis),
    message:
        "Read the scores of {wildcards.model} for {wildcards.axis}"
    script:
        "../scripts/import_scores.py"


rule compare_windows:
    input:
        counts=counts_tables(),
        code=code("compare_windows"),
    output:
        counts=f"{G}/counts_by_window.csv",
        agreement=shown(
            f"{G}/window_agreement.csv",
            "Counts",
            "Agreement of windows",
            caption="ground/window_agreement_table",
        ),
    log:
        f"{LOGS}/compare_windows.log",
    benchmark:
        f"{BENCHMARKS}/compare_windows.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=comparison_settings(),
    message:
        "Compare counts by window"
    script:
        "../scripts/compare_windows.py"


rule compare_prevalence:
    input:
        counts=[f"{G}/counts/{axis}.parquet" for axis in PREVALENT],
        prevalence=prevalence_tables(),
        code=code("compare_prevalence"),
    output:
        gaps=shown(
            f"{G}/prevalence_gaps.csv",
            "Counts",
            "Counts beside prevalence",
            caption="ground/prevalence_gaps_table",
        ),
    log:
        f"{LOGS}/compare_prevalence.log",
    benchmark:
        f"{BENCHMARKS}/compare_prevalence.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=comparison_settings("window", "unit", "top"),
    message:
        "Put the counts beside prevalence"
    script:
        "../scripts/compare_prevalence.py"


rule rank_groups:
    input:
        scores=scores_tables(),
        code=code("rank_groups"),
    output:
        places=shown(
            f"{G}/first_and_last.csv",
            "Rankings by models",
            "First and last places",
            caption="ground/first_and_last_table",
        ),
        variation=shown(
            f"{G}/template_variation.csv",
            "Rankings by models",
            "Variation across templates",
            caption="ground/template_variation_table",
        ),
        spread=f"{G}/rank_spread.csv",
        differences=f"{G}/logprob_differences.csv",
    log:
        f"{LOGS}/rank_groups.log",
    benchmark:
        f"{BENCHMARKS}/rank_groups.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=comparison_settings("score"),
    message:
        "Rank groups by the models' scores"
    script:
        "../scripts/rank_groups.py"


rule kendall_tau:
    input:
        counts=counts_tables(),
        scores=scores_tables(),
        prevalence=prevalence_tables(),
        code=code("kendall_tau"),
    output:
        tau=shown(
            f"{G}/kendall_tau.csv",
            "Agreement of rankings",
            "Kendall tau",
            caption="ground/kendall_tau_table",
        ),
        by_score=f"{G}/kendall_tau_by_score.csv",
        by_subject=f"{G}/kendall_tau_by_subject.csv",
        by_quartile=f"{G}/kendall_tau_by_quartile.csv",
        outliers=shown(
            f"{G}/outliers.csv",
            "Agreement of rankings",
            "Subjects that stand out",
            caption="ground/outliers_table",
        ),
        unmatched=f"{G}/unmatched.csv",
    log:
        f"{LOGS}/kendall_tau.log",
    benchmark:
        f"{BENCHMARKS}/kendall_tau.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=comparison_settings("window", "unit", "score"),
    message:
        "Compare the rankings of counts, models and prevalence"
    script:
        "../scripts/kendall_tau.py"


rule compare_aligned:
    input:
        scores=scores_tables(),
        code=code("compare_aligned"),
    output:
        pairs=shown(
            f"{G}/aligned_pairs.csv",
            "Rankings by models",
            "Base and aligned models",
            caption="ground/aligned_pairs_table",
        ),
        changes=f"{G}/first_place_changes.csv",
    log:
        f"{LOGS}/compare_aligned.log",
    benchmark:
        f"{BENCHMARKS}/compare_aligned.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=comparison_settings("score"),
        pairs=GROUND["aligned_pairs"],
    message:
        "Compare base models with those trained further"
    script:
        "../scripts/compare_aligned.py"
