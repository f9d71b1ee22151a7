# similarity → results/<study>/leakage/ and the tables of Leak-Rates.


rule compare_pairs:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        generations=lambda w: generations(MODELS, [w.prompt_set]),
        similarity=f"{RESULTS}/similarity/{{scorer}}.parquet",
        code=code("compare_pairs"),
    output:
        pairs=f"{RESULTS}/leakage/{{prompt_set}}/{{scorer}}.parquet",
    log:
        f"{LOGS}/compare_pairs/{{prompt_set}}/{{scorer}}.log",
    benchmark:
        f"{BENCHMARKS}/compare_pairs/{{prompt_set}}/{{scorer}}.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        decimals=CONFIG["leak"]["decimals"],
    message:
        "Compare each text of {wildcards.prompt_set} with its control by {wildcards.scorer}"
    script:
        "../scripts/compare_pairs.py"


rule leak_rates:
    input:
        pairs=pair_tables(),
        code=code("leak_rates"),
    output:
        leak_rates=shown(
            f"{RESULTS}/leak_rates.csv",
            "Leak-Rates",
            "Leak-Rates",
            caption="leak_rates_table",
        ),
        specific=shown(
            f"{RESULTS}/specific_leakage.csv",
            "Specific leakage",
            "Specific leakage",
            caption="specific_leakage_table",
        ),
        by_control=f"{RESULTS}/leak_rates_by_control.csv",
        by_concept=f"{RESULTS}/leak_rates_by_concept.csv",
        by_template=f"{RESULTS}/leak_rates_by_template.csv",
        estimators=f"{RESULTS}/estimators.csv",
    log:
        f"{LOGS}/leak_rates.log",
    benchmark:
        f"{BENCHMARKS}/leak_rates.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        level=CONFIG["leak"]["level"],
    message:
        "Compute Leak-Rates and their intervals"
    script:
        "../scripts/leak_rates.py"


rule compare_models:
    input:
        pairs=pair_tables(),
        code=code("compare_models"),
    output:
        comparisons=shown(
            f"{RESULTS}/comparisons.csv",
            "Leak-Rates",
            "Models compared in pairs",
            caption="comparisons_table",
        ),
    log:
        f"{LOGS}/compare_models.log",
    benchmark:
        f"{BENCHMARKS}/compare_models.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        level=CONFIG["leak"]["level"],
        permutations=CONFIG["leak"]["permutations"],
    message:
        "Compare models in pairs on the same prompts"
    script:
        "../scripts/compare_models.py"


rule concept_matrix:
    input:
        prompts=[prompts(name) for name in PROMPT_SETS],
        candidates=[candidates(name) for name in PROMPT_SETS],
        generations=[generations(MODELS, [name]) for name in PROMPT_SETS],
        code=code("concept_matrix"),
    output:
        matrix=f"{RESULTS}/concept_matrix.csv",
    log:
        f"{LOGS}/concept_matrix.log",
    benchmark:
        f"{BENCHMARKS}/concept_matrix.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Count which concept each text names"
    script:
        "../scripts/concept_matrix.py"


rule logit_leak:
    input:
        prompts=[prompts(name) for name in TEMPLATED],
        candidates=[candidates(name) for name in TEMPLATED],
        scores=[f"{RESULTS}/candidates/{m}/{p}.parquet" for m in GENERATED for p in TEMPLATED],
        code=code("logit_leak"),
    output:
        table=shown(
            f"{RESULTS}/logit_leak.csv",
            "Logit leak",
            "Logit leak",
            caption="logit_leak_table",
        ),
    log:
        f"{LOGS}/logit_leak.log",
    benchmark:
        f"{BENCHMARKS}/logit_leak.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        level=CONFIG["leak"]["level"],
    message:
        "Compute the shift in the probability of associates, without sampling"
    script:
        "../scripts/logit_leak.py"
