# items, models → results/<study>/validate/tuned/: models whose gap between generator and validator was closed, and what
# closing it cost. Whole models and adapters are trained by one script; they differ in the files that it writes.


rule split_items:
    input:
        item_table="<validate>/items/{task}.parquet",
        code=code("validate/split_items"),
    output:
        splits="<validate>/splits/{task}.{split}.csv",
    log:
        "<logs>/split_items/{task}.{split}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        test_share=validate.settings["test_share"],
        seed=validate.settings["seed"],
    script:
        "../../scripts/validate/split_items.py"


rule tune_model:
    input:
        item_table=lambda w: f"<validate>/items/{validate.task(w.model)}.parquet",
        splits=lambda w: f"<validate>/splits/{validate.task(w.model)}.{study.entries[w.model]['split']}.csv",
        forms=lambda w: validate.settings["tasks"][validate.task(w.model)]["forms"],
        # The base's own log-odds: they are the teacher, and say on which items the base agrees with itself.
        scores=lambda w: f"<validate>/scores/{study.foundation(w.model)}/{validate.task(w.model)}.parquet",
        manifest=lambda w: study.manifest(study.foundation(w.model)),
        neutral=lambda w: validate.neutral_texts(w.model, "train"),
        code=code("validate/tune_model"),
    output:
        expand("<validate>/tuned/{{model}}/{file}", file=FULL_FILES),
        manifest="<validate>/tuned/{model}/model.json",
        training="<validate>/tuned/{model}/training.json",
    log:
        "<logs>/tune_model/{model}.log",
    wildcard_constraints:
        model=one_of_names(validate.trained(whole=True)),
    # What others wait for.
    priority: 10
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **on_model(validate.needs, lambda w: w.model),
    params:
        method=lambda w: validate.method(w.model),
        task=lambda w: validate.task_settings(validate.task(w.model)),
        loading=lambda w: study.loading(w.model),
        chat=lambda w: study.chat(w.model),
        is_organism=lambda w: study.is_organism(w.model),
        examples_seed=validate.settings["seed"],
        seed=lambda w: study.entries[w.model]["seed"],
        # Where a training is kept until it is finished. No output: Snakemake deletes outputs before a job.
        checkpoint=lambda w, output: str(Path(output.manifest).parents[1].with_name("tuning") / w.model),
    script:
        "../../scripts/validate/tune_model.py"


use rule tune_model as tune_adapter with:
    output:
        expand("<validate>/tuned/{{model}}/{file}", file=ADAPTER_FILES),
        manifest="<validate>/tuned/{model}/model.json",
        training="<validate>/tuned/{model}/training.json",
    log:
        "<logs>/tune_adapter/{model}.log",
    wildcard_constraints:
        model=one_of_names(validate.trained(whole=False)),


rule neutral_perplexity:
    input:
        manifest=lambda w: study.manifest(w.model),
        texts=lambda w: [] if study.is_organism(w.model) else validate.neutral_texts(w.model, "held_out"),
        corpus=lambda w: validate.neutral_texts(w.model, "held_out") if study.is_organism(w.model) else [],
        # Documents that name a question of a task are not neutral.
        item_tables=lambda w: validate.asked_items(w.model),
        code=code("validate/neutral_perplexity"),
    output:
        summary="<validate>/perplexity/{model}.json",
    log:
        "<logs>/neutral_perplexity/{model}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        batch_size=validate.settings["batch_size"],
        store=store,
    script:
        "../../scripts/validate/neutral_perplexity.py"


rule closing:
    input:
        scores=validate.of_pairs("<validate>/scores/{model}/{task}.parquet", validate.closed),
        item_tables=validate.item_tables(validate.closed),
        splits=validate.split_files(),
        forms=[validate.settings["tasks"][task]["forms"] for task in validate.tasks],
        ranks=validate.of_pairs("<validate>/ranks/{model}/{task}.parquet", validate.closed),
        perplexity=expand("<validate>/perplexity/{model}.json", model=validate.compared),
        match_rates=["<results>/match_rates.csv"] if "leak" in study.steps else [],
        leak_rates=["<results>/leak_rates.csv"] if "leak" in study.steps else [],
        code=code("validate/closing"),
    output:
        closing=shown("<validate>/closing.csv"),
    log:
        "<logs>/closing.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        **validate.analysis(validate.closed),
        tuned=validate.tuned_entries(),
        perplexed=validate.compared,
    script:
        "../../scripts/validate/closing.py"
