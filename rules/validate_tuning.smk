# items, models → results/<study>/validate/tuned/: models whose gap between generator and validator was closed, and what
# closing it cost. Whole models and adapters are trained by one script; they differ in the files that it writes.


wildcard_constraints:
    split=one_of_names(split for _, split in SPLITS),


rule split_items:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        code=code("split_items"),
    output:
        splits=f"{V}/splits/{{task}}.{{split}}.csv",
    log:
        f"{LOGS}/split_items/{{task}}.{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/split_items/{{task}}.{{split}}.tsv"
    wildcard_constraints:
        task=one_of_names(ASKED_TASKS),
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        test_share=VALIDATE["test_share"],
        seed=VALIDATE["seed"],
    message:
        "Split the items of {wildcards.task} ({wildcards.split})"
    script:
        "../scripts/split_items.py"


rule tune_model:
    input:
        item_table=lambda w: f"{V}/items/{task_of(w.model)}.parquet",
        splits=lambda w: split_of(w.model),
        forms=lambda w: VALIDATE["tasks"][task_of(w.model)]["forms"],
        scores=lambda w: f"{V}/scores/{foundation(w.model)}/{task_of(w.model)}.parquet",
        manifest=lambda w: manifest(foundation(w.model)),
        neutral=lambda w: neutral_texts(w.model, "train"),
        code=code("tune_model"),
    output:
        expand(f"{V}/tuned/{{{{model}}}}/{{file}}", file=FULL_FILES),
        manifest=f"{V}/tuned/{{model}}/model.json",
        training=f"{V}/tuned/{{model}}/training.json",
    log:
        f"{LOGS}/tune_model/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/tune_model/{{model}}.tsv"
    wildcard_constraints:
        model=one_of_names(tuned_weights(whole=True)),
    # What others wait for.
    priority: 10
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=tuning_gpus,
        mem_mb=tuning_mem_mb,
        runtime=tuning_runtime,
    params:
        method=lambda w: method_settings(w.model),
        task=lambda w: task_settings(task_of(w.model)),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        is_organism=lambda w: is_organism(w.model),
        examples_seed=VALIDATE["seed"],
        seed=lambda w: CONFIG["models"][w.model]["seed"],
        # Where a training is kept until it is finished. No output: Snakemake deletes outputs before a job.
        checkpoint=lambda w: f"{V}/tuning/{w.model}",
    message:
        "Tune {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/tune_model.py"


use rule tune_model as tune_adapter with:
    output:
        expand(f"{V}/tuned/{{{{model}}}}/{{file}}", file=ADAPTER_FILES),
        manifest=f"{V}/tuned/{{model}}/model.json",
        training=f"{V}/tuned/{{model}}/training.json",
    log:
        f"{LOGS}/tune_adapter/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/tune_adapter/{{model}}.tsv"
    wildcard_constraints:
        model=one_of_names(tuned_weights(whole=False)),
    message:
        "Train the adapter {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"


rule neutral_perplexity:
    input:
        manifest=lambda w: manifest(w.model),
        texts=lambda w: [] if is_organism(w.model) else neutral_texts(w.model, "held_out"),
        corpus=lambda w: neutral_texts(w.model, "held_out") if is_organism(w.model) else [],
        # Documents that name a question of a task are not neutral.
        item_tables=lambda w: (
            [f"{V}/items/{task}.parquet" for task in ASKED_TASKS] if is_organism(w.model) else []
        ),
        code=code("neutral_perplexity"),
    output:
        summary=f"{V}/perplexity/{{model}}.json",
    log:
        f"{LOGS}/neutral_perplexity/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/neutral_perplexity/{{model}}.tsv"
    wildcard_constraints:
        model=one_of_names(COMPARED),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        loading=lambda w: loading_options(w.model),
        batch_size=VALIDATE["batch_size"],
        store=STORE,
    message:
        "Measure the perplexity of {wildcards.model} on neutral text [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/neutral_perplexity.py"


rule closing:
    input:
        scores=score_tables(CLOSED),
        item_tables=item_tables(CLOSED),
        splits=split_files(),
        forms=form_files(),
        ranks=asked_tables("ranks", CLOSED),
        perplexity=[f"{V}/perplexity/{model}.json" for model in COMPARED],
        leak_rates=[f"{RESULTS}/leak_rates.csv"] if "leak" in STUDY["steps"] else [],
        code=code("closing"),
    output:
        closing=shown(
            f"{V}/closing.csv",
            "Closing the gap",
            "Before and after training",
            caption="validate/closing_table",
        ),
    log:
        f"{LOGS}/closing.log",
    benchmark:
        f"{BENCHMARKS}/closing.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        tuned=tuned_entries(),
        scored=CLOSED,
        splits=SPLITS,
        ranked=CLOSED,
        perplexed=COMPARED,
        forms=of_tasks("forms"),
        styles=of_tasks("styles"),
        settings=bootstrap_settings(),
    message:
        "Compare tuned models with what they were tuned from"
    script:
        "../scripts/closing.py"
