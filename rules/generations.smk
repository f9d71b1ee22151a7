# prompts and models → results/<study>/generations/: what each model writes, and the exact
# log-probabilities of what it could have written (results/<study>/candidates/).


rule generate:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        manifest=lambda w: manifest(w.model),
        code=code("generate"),
    output:
        texts=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.parquet",
        table=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.csv",
        summary=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.json",
    log:
        f"{LOGS}/generate/{{model}}/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/generate/{{model}}/{{prompt_set}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=on_gpu,
        mem_mb=model_mem_mb,
        runtime=240,
    params:
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        settings=lambda w: generation_settings(CONFIG, w.model, w.prompt_set),
        store=STORE,
    message:
        "Let {wildcards.model} complete the prompts of {wildcards.prompt_set}"
    script:
        "../scripts/generate.py"


rule import_generations:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        table=generations_file,
        code=code("import_generations"),
    output:
        texts=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.parquet",
        table=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.csv",
        summary=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.json",
    log:
        f"{LOGS}/import_generations/{{model}}/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/import_generations/{{model}}/{{prompt_set}}.tsv"
    wildcard_constraints:
        model=one_of_names(IMPORTED),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        samples=lambda w: CONFIG["prompt_sets"][w.prompt_set].get("samples"),
        sheet=generations_sheet,
        prompts_path=lambda w: CONFIG["prompt_sets"][w.prompt_set]["path"],
    message:
        "Read what {wildcards.model} wrote for {wildcards.prompt_set} from {input.table}"
    script:
        "../scripts/import_generations.py"


rule score_candidates:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        candidates=lambda w: candidates(w.prompt_set),
        manifest=lambda w: manifest(w.model),
        code=code("score_candidates"),
    output:
        scores=f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.parquet",
        summary=f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.json",
    log:
        f"{LOGS}/score_candidates/{{model}}/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/score_candidates/{{model}}/{{prompt_set}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        prompt_set=one_of_names(TEMPLATED),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=on_gpu,
        mem_mb=model_mem_mb,
        runtime=240,
    params:
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        settings=lambda w: decoding_settings(w.model, w.prompt_set),
        store=STORE,
    message:
        "Score every candidate of {wildcards.prompt_set} under {wildcards.model}"
    script:
        "../scripts/score_candidates.py"
