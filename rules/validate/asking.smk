# tasks, models → results/<study>/validate/{items,scores,ranks,completions,layers,lens}/: each item is put to a model as
# generator and as validator. Scores that were computed elsewhere come in beside them.


wildcard_constraints:
    **validate.wildcards(),


# What a person brings is read first: its mistakes are better heard before models run.
rule read_items:
    input:
        table=lambda w: validate.settings["tasks"][w.task]["path"],
        code=code("validate/read_items"),
    output:
        item_table="<validate>/items/{task}.parquet",
    log:
        "<logs>/read_items/{task}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        reader=lambda w: validate.settings["tasks"][w.task]["reader"],
        seed=validate.settings["seed"],
    script:
        "../../scripts/validate/read_items.py"


rule import_item_scores:
    input:
        scores=lambda w: validate.imported[w.imported][w.task],
        code=code("validate/import_item_scores"),
    output:
        multiext("<validate>/scores/{imported}/{task}", scores=".parquet", item_table=".items.parquet", summary=".json"),
    log:
        "<logs>/import_item_scores/{imported}/{task}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/validate/import_item_scores.py"


# What is asked of a model about a task. Ranks and completions are a job of their own, since tuning waits for scores only.
rule score_items:
    input:
        item_table="<validate>/items/{task}.parquet",
        forms=lambda w: validate.settings["tasks"][w.task]["forms"],
        manifest=lambda w: study.manifest(w.model),
        code=code("validate/score_items"),
    output:
        multiext("<validate>/scores/{model}/{task}", scores=".parquet", scores_summary=".json"),
    log:
        "<logs>/score_items/{model}/{task}.log",
    wildcard_constraints:
        model=one_of_names(validate.models),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        **validate.asking(),
        task=lambda w: validate.task_settings(w.task),
        store=store,
    script:
        "../../scripts/validate/score_items.py"


rule score_served_items:
    input:
        item_table="<validate>/items/{task}.parquet",
        forms=lambda w: validate.settings["tasks"][w.task]["forms"],
        code=code("validate/score_served_items"),
    output:
        multiext("<validate>/scores/{served}/{task}", scores=".parquet", summary=".json"),
    log:
        "<logs>/score_served_items/{served}/{task}.log",
    conda:
        "../../envs/models.yaml"
    resources:
        runtime=growing(600),
    params:
        server=lambda w: study.server(w.served, "extra_body"),
        asking=lambda w, output: study.asking(w.served, Path(output.scores).parents[3]),
        task=lambda w: validate.task_settings(w.task),
        seed=validate.settings["seed"],
        store=store,
    script:
        "../../scripts/validate/score_served_items.py"


use rule score_items as complete_items with:
    output:
        ranks="<validate>/ranks/{model}/{task}.parquet",
        ranks_summary="<validate>/ranks/{model}/{task}.json",
        completions="<validate>/completions/{model}/{task}.parquet",
        completions_summary="<validate>/completions/{model}/{task}.json",
    log:
        "<logs>/complete_items/{model}/{task}.log",
    params:
        **validate.asking("completion_tokens"),
        task=lambda w: validate.task_settings(w.task, "rank_among"),
        store=store,


use rule score_items as score_layers with:
    output:
        layers="<validate>/layers/{model}/{task}.parquet",
        layers_summary="<validate>/layers/{model}/{task}.json",
        lens="<validate>/lens/{model}/{task}.parquet",
        lens_summary="<validate>/lens/{model}/{task}.json",
    log:
        "<logs>/score_layers/{model}/{task}.log",
    params:
        **validate.asking(),
        task=lambda w: validate.task_settings(w.task, "lens_item"),
        store=store,
