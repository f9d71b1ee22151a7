# tasks, models → results/<study>/validate/: does a model affirm what it generates? Each item is put to a model as
# generator and as validator; scores that were computed elsewhere come in beside them; what follows compares the two.


wildcard_constraints:
    task=one_of_names(ALL_TASKS),


rule read_items:
    input:
        table=lambda w: VALIDATE["tasks"][w.task]["path"],
        code=code("read_items"),
    output:
        item_table=f"{V}/items/{{task}}.parquet",
    log:
        f"{LOGS}/read_items/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/read_items/{{task}}.tsv"
    wildcard_constraints:
        task=one_of_names(ASKED_TASKS),
    # Mistakes of a person are better heard before models run.
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        task=lambda w: {"reader": VALIDATE["tasks"][w.task]["reader"]},
        seed=VALIDATE["seed"],
    message:
        "Read the items of {wildcards.task} from {input.table}"
    script:
        "../scripts/read_items.py"


rule import_item_scores:
    input:
        scores=lambda w: BROUGHT[w.model][w.task],
        code=code("import_item_scores"),
    output:
        scores=f"{V}/scores/{{model}}/{{task}}.parquet",
        item_table=f"{V}/scores/{{model}}/{{task}}.items.parquet",
        summary=f"{V}/scores/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/import_item_scores/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/import_item_scores/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(BROUGHT),
    priority: 20
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    message:
        "Read the scores of {wildcards.model} for {wildcards.task}"
    script:
        "../scripts/import_item_scores.py"


rule score_items:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        forms=lambda w: VALIDATE["tasks"][w.task]["forms"],
        manifest=lambda w: manifest(w.model),
        code=code("score_items"),
    output:
        scores=f"{V}/scores/{{model}}/{{task}}.parquet",
        summary=f"{V}/scores/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/score_items/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/score_items/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(ASKED_MODELS),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        task=lambda w: task_settings(w.task),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        batch_size=VALIDATE["batch_size"],
        seed=VALIDATE["seed"],
        store=STORE,
    message:
        "Ask {wildcards.model} about the items of {wildcards.task} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/score_items.py"


rule rank_candidates:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        forms=lambda w: VALIDATE["tasks"][w.task]["forms"],
        manifest=lambda w: manifest(w.model),
        code=code("rank_candidates"),
    output:
        ranks=f"{V}/ranks/{{model}}/{{task}}.parquet",
        summary=f"{V}/ranks/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/rank_candidates/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/rank_candidates/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(ASKED_MODELS),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        task=lambda w: task_settings(w.task, "rank_among"),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        batch_size=VALIDATE["batch_size"],
        seed=VALIDATE["seed"],
        store=STORE,
    message:
        "Rank the candidates of {wildcards.task} by {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/rank_candidates.py"


rule complete_questions:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        forms=lambda w: VALIDATE["tasks"][w.task]["forms"],
        manifest=lambda w: manifest(w.model),
        code=code("complete_questions"),
    output:
        completions=f"{V}/completions/{{model}}/{{task}}.parquet",
        summary=f"{V}/completions/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/complete_questions/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/complete_questions/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(ASKED_MODELS),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        task=lambda w: task_settings(w.task),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        completion_tokens=VALIDATE["completion_tokens"],
        batch_size=VALIDATE["batch_size"],
        seed=VALIDATE["seed"],
        store=STORE,
    message:
        "Let {wildcards.model} answer {wildcards.task}, and judge its answers [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/complete_questions.py"


rule score_layers:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        forms=lambda w: VALIDATE["tasks"][w.task]["forms"],
        manifest=lambda w: manifest(w.model),
        code=code("score_layers"),
    output:
        layers=f"{V}/layers/{{model}}/{{task}}.parquet",
        summary=f"{V}/layers/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/score_layers/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/score_layers/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(ASKED_MODELS),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        task=lambda w: task_settings(w.task),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        batch_size=VALIDATE["batch_size"],
        seed=VALIDATE["seed"],
        store=STORE,
    message:
        "Ask the layers of {wildcards.model} about the items of {wildcards.task} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/score_layers.py"


rule lens_item:
    input:
        item_table=f"{V}/items/{{task}}.parquet",
        forms=lambda w: VALIDATE["tasks"][w.task]["forms"],
        manifest=lambda w: manifest(w.model),
        code=code("lens_item"),
    output:
        lens=f"{V}/lens/{{model}}/{{task}}.parquet",
        summary=f"{V}/lens/{{model}}/{{task}}.json",
    log:
        f"{LOGS}/lens_item/{{model}}/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/lens_item/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        model=one_of_names(ASKED_MODELS),
    conda:
        "../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        task=lambda w: task_settings(w.task, "lens_item"),
        loading=lambda w: loading_options(w.model),
        chat=lambda w: chat_options(w.model),
        batch_size=VALIDATE["batch_size"],
        seed=VALIDATE["seed"],
        store=STORE,
    message:
        "Read one item of {wildcards.task} in every layer of {wildcards.model} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../scripts/lens_item.py"


rule correlations:
    input:
        scores=score_tables(SCORED),
        item_tables=item_tables(SCORED),
        splits=split_files(),
        forms=form_files(),
        code=code("correlations"),
    output:
        correlations=shown(
            f"{V}/correlations.csv",
            "Generator and validator",
            "Correlations",
            caption="validate/correlations_table",
        ),
        paired=f"{V}/paired.parquet",
    log:
        f"{LOGS}/correlations.log",
    benchmark:
        f"{BENCHMARKS}/correlations.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        scored=SCORED,
        splits=SPLITS,
        forms=of_tasks("forms"),
        styles=of_tasks("styles"),
        tuned_on=tuned_on(),
        settings=bootstrap_settings(),
    message:
        "Correlate generator and validator"
    script:
        "../scripts/correlations.py"


rule answer_accuracy:
    input:
        scores=score_tables(SCORED),
        item_tables=item_tables(SCORED),
        splits=split_files(),
        forms=form_files(),
        ranks=asked_tables("ranks", ASKED),
        completions=asked_tables("completions", ASKED),
        code=code("answer_accuracy"),
    output:
        accuracy=shown(
            f"{V}/accuracy.csv",
            "Generator and validator",
            "Accuracy",
            caption="validate/accuracy_table",
        ),
    log:
        f"{LOGS}/answer_accuracy.log",
    benchmark:
        f"{BENCHMARKS}/answer_accuracy.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        scored=SCORED,
        splits=SPLITS,
        ranked=ASKED,
        completed=ASKED,
        forms=of_tasks("forms"),
        styles=of_tasks("styles"),
        tuned_on=tuned_on(),
        settings=bootstrap_settings(),
    message:
        "Count how often generator and validator are right"
    script:
        "../scripts/answer_accuracy.py"


rule form_agreement:
    input:
        scores=score_tables(SCORED),
        code=code("form_agreement"),
    output:
        agreement=f"{V}/form_agreement.csv",
    log:
        f"{LOGS}/form_agreement.log",
    benchmark:
        f"{BENCHMARKS}/form_agreement.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        scored=SCORED,
    message:
        "Correlate prompt forms with each other"
    script:
        "../scripts/form_agreement.py"


rule layer_summary:
    input:
        layers=asked_tables("layers", LAYERED),
        item_tables=item_tables(LAYERED),
        code=code("layer_summary"),
    output:
        layers=f"{V}/layers.csv",
        parting=f"{V}/parting.csv",
    log:
        f"{LOGS}/layer_summary.log",
    benchmark:
        f"{BENCHMARKS}/layer_summary.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        layered=LAYERED,
    message:
        "Follow generator and validator across layers"
    script:
        "../scripts/layer_summary.py"


rule planted_gap:
    input:
        correlations=f"{V}/correlations.csv",
        item_tables=[f"{V}/items/{task}.parquet" for task in ASKED_TASKS],
        grammar=sorted({path for model in PLANTED for path in grammar_files(taxonomy_parts(model))}),
        code=code("planted_gap"),
    output:
        truth=shown(
            f"{V}/truth.csv",
            "Truth",
            "Exact gaps",
            caption="validate/truth_table",
        ),
    log:
        f"{LOGS}/planted_gap.log",
    benchmark:
        f"{BENCHMARKS}/planted_gap.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        tasks=ASKED_TASKS,
        grammars={model: {**SPECIES[model]["grammar"], "parts": taxonomy_parts(model)} for model in PLANTED},
    message:
        "Put the measured gaps beside those that were planted"
    script:
        "../scripts/planted_gap.py"
