# prompts and models → results/<study>/generations/: what each model writes, and the exact
# log-probabilities of what it could have written (results/<study>/candidates/).
# A large prompt set is divided: <rule>_shard writes what <rule> would, of some of its prompts, and gather_... puts it
# together. What follows cannot tell the difference.


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
        prompt_set=one_of_names(UNSHARDED),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        settings=lambda w: generation_settings(CONFIG, w.model, w.prompt_set),
        store=STORE,
    message:
        "Let {wildcards.model} complete the prompts of {wildcards.prompt_set} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/generate.py"


use rule generate as generate_shard with:
    output:
        texts=temp(f"{RESULTS}/generations/{{model}}/{{prompt_set}}.shards/{{shard}}.parquet"),
        table=temp(f"{RESULTS}/generations/{{model}}/{{prompt_set}}.shards/{{shard}}.csv"),
        summary=temp(f"{RESULTS}/generations/{{model}}/{{prompt_set}}.shards/{{shard}}.json"),
    log:
        f"{LOGS}/generate/{{model}}/{{prompt_set}}.{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/generate/{{model}}/{{prompt_set}}.{{shard}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        prompt_set=one_of_names(SHARDED),
    message:
        "Let {wildcards.model} complete the prompts of {wildcards.prompt_set}, shard {wildcards.shard} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"


rule gather_texts:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        texts=shard_files(f"{RESULTS}/generations/{{model}}/{{prompt_set}}.shards/{{shard}}.parquet"),
        summaries=shard_files(f"{RESULTS}/generations/{{model}}/{{prompt_set}}.shards/{{shard}}.json"),
        code=code("gather_texts"),
    output:
        texts=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.parquet",
        table=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.csv",
        summary=f"{RESULTS}/generations/{{model}}/{{prompt_set}}.json",
    log:
        f"{LOGS}/gather_texts/{{model}}/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/gather_texts/{{model}}/{{prompt_set}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        prompt_set=one_of_names(SHARDED),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Put the texts of {wildcards.model} for {wildcards.prompt_set} together"
    script:
        "../scripts/gather_texts.py"


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
        mem_mb=growing(2000),
        runtime=growing(10),
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
        prompt_set=one_of_names(n for n in TEMPLATED if n in UNSHARDED),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        settings=lambda w: decoding_settings(w.model, w.prompt_set),
        store=STORE,
    message:
        "Score every candidate of {wildcards.prompt_set} under {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/score_candidates.py"


use rule score_candidates as score_candidates_shard with:
    output:
        scores=temp(f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.shards/{{shard}}.parquet"),
        summary=temp(f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.shards/{{shard}}.json"),
    log:
        f"{LOGS}/score_candidates/{{model}}/{{prompt_set}}.{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/score_candidates/{{model}}/{{prompt_set}}.{{shard}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        prompt_set=one_of_names(n for n in TEMPLATED if n in SHARDED),
    message:
        "Score every candidate of {wildcards.prompt_set} under {wildcards.model}, shard {wildcards.shard} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"


rule gather_scores:
    input:
        prompts=lambda w: prompts(w.prompt_set),
        scores=shard_files(f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.shards/{{shard}}.parquet"),
        summaries=shard_files(f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.shards/{{shard}}.json"),
        code=code("gather_scores"),
    output:
        scores=f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.parquet",
        summary=f"{RESULTS}/candidates/{{model}}/{{prompt_set}}.json",
    log:
        f"{LOGS}/gather_scores/{{model}}/{{prompt_set}}.log",
    benchmark:
        f"{BENCHMARKS}/gather_scores/{{model}}/{{prompt_set}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        prompt_set=one_of_names(n for n in TEMPLATED if n in SHARDED),
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Put the scores of {wildcards.prompt_set} under {wildcards.model} together"
    script:
        "../scripts/gather_scores.py"
