# prompts, generations → results/<study>/similarity/: each distinct (concept, text) once per scorer.


rule list_pairs:
    input:
        prompts=[prompts(name) for name in PROMPT_SETS],
        candidates=[candidates(name) for name in PROMPT_SETS],
        generations=generations(MODELS, PROMPT_SETS),
        code=code("list_pairs"),
    output:
        pairs=f"{RESULTS}/similarity/pairs.parquet",
    log:
        f"{LOGS}/list_pairs.log",
    benchmark:
        f"{BENCHMARKS}/list_pairs.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "List the distinct pairs of concept and text"
    script:
        "../scripts/list_pairs.py"


rule score_similarity:
    input:
        pairs=rules.list_pairs.output.pairs,
        encoder=lambda w: encoder_files(w.scorer),
        code=code("score_similarity"),
    output:
        similarity=f"{RESULTS}/similarity/{{scorer}}.parquet",
        summary=f"{RESULTS}/similarity/{{scorer}}.json",
    log:
        f"{LOGS}/score_similarity/{{scorer}}.log",
    benchmark:
        f"{BENCHMARKS}/score_similarity/{{scorer}}.tsv"
    conda:
        "../envs/scoring.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        scorer=lambda w: scorer_settings(w.scorer),
        fetched=lambda w: w.scorer in HUB_SCORERS,
        store=STORE,
    message:
        "Score how similar each text is to its concept with {wildcards.scorer}"
    script:
        "../scripts/score_similarity.py"
