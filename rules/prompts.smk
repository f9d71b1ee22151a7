# data/ → results/<study>/prompts/: every prompt, its control and its concept, one row each.


rule build_prompts:
    input:
        files=lambda w: TEMPLATE_FILES[w.prompt_set],
        code=code("build_prompts"),
    output:
        prompts=f"{RESULTS}/prompts/{{prompt_set}}.parquet",
        candidates=f"{RESULTS}/prompts/{{prompt_set}}.candidates.parquet",
        table=f"{RESULTS}/prompts/{{prompt_set}}.csv",
    log:
        f"{LOGS}/build_prompts/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/build_prompts/{{prompt_set}}.tsv"
    wildcard_constraints:
        prompt_set=one_of_names(TEMPLATED),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        folder=lambda w: CONFIG["prompt_sets"][w.prompt_set]["path"],
        lexicons=str(LEXICONS),
    message:
        "Fill the templates of {wildcards.prompt_set} with their lexicons"
    script:
        "../scripts/build_prompts.py"


rule import_prompts:
    input:
        table=lambda w: CONFIG["prompt_sets"][w.prompt_set]["path"],
        code=code("import_prompts"),
    output:
        prompts=f"{RESULTS}/prompts/{{prompt_set}}.parquet",
        candidates=f"{RESULTS}/prompts/{{prompt_set}}.candidates.parquet",
        table=f"{RESULTS}/prompts/{{prompt_set}}.csv",
    log:
        f"{LOGS}/import_prompts/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/import_prompts/{{prompt_set}}.tsv"
    wildcard_constraints:
        prompt_set=one_of_names(TABULATED),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        sheet=lambda w: CONFIG["prompt_sets"][w.prompt_set].get("sheet"),
    message:
        "Read the prompts of {wildcards.prompt_set} from {input.table}"
    script:
        "../scripts/import_prompts.py"
