# prompts, generations → results/<study>/similarity/: each distinct (concept, text) once per scorer.


rule list_pairs:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        # Candidates, written or not: exact Leak-Rates weigh every one of them by its similarity.
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.prompt_sets),
        generations=expand("<results>/generations/{model}/{prompt_set}.parquet", **study.written),
        drawn=expand("<results>/drawn/{model}/{prompt_set}.parquet", **study.sampled),
        code=code("leak/list_pairs"),
    output:
        pairs="<results>/similarity/pairs.parquet",
    log:
        "<logs>/list_pairs.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        languages=study.languages,
    script:
        "../../scripts/leak/list_pairs.py"


rule score_similarity:
    input:
        pairs="<results>/similarity/pairs.parquet",
        encoder=lambda w: study.encoder_files(w.scorer),
        code=code("leak/score_similarity"),
    output:
        multiext("<results>/similarity/{scorer}", similarity=".parquet", summary=".json"),
    log:
        "<logs>/score_similarity/{scorer}.log",
    conda:
        "../../envs/scoring.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        scorer=lambda w: study.scorer(w.scorer),
        fetched=lambda w: w.scorer in study.hub_scorers,
        store=store,
    script:
        "../../scripts/leak/score_similarity.py"
