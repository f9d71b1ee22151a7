# dictionaries, contrasts → results/<study>/features/: which features carry an association, what edits of them do and
# cost beside edits that know nothing of features, models that are edited, and texts with and without.


wildcard_constraints:
    contrast=one_of_names(CONTRASTS),
    steering=one_of_names(STEERINGS),


rule contrast_activations:
    input:
        manifest=lambda w: manifest(model_of(w)),
        files=lambda w: contrast_inputs(w.contrast),
        code=code("features/contrast_activations"),
    output:
        activations=f"{F}/contrasts/{{contrast}}/{{site}}.safetensors",
        prompts=f"{F}/contrasts/{{contrast}}/{{site}}.parquet",
    log:
        f"{LOGS}/contrast_activations/{{contrast}}/{{site}}.log",
    benchmark:
        f"{BENCHMARKS}/contrast_activations/{{contrast}}/{{site}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        loading=lambda w: loading_options(model_of(w)),
        chat=lambda w: chat_options(model_of(w)),
        settings=lambda w: prompting_settings(model_of(w), w.contrast),
        contrast=lambda w: plain(CONTRASTS[w.contrast], "dictionaries"),
        layer=lambda w: layer_of(dictionary_of(w)),
        batch_size=FEATURES["batch_size"],
        randomised=is_randomised,
        seed=FEATURES["seed"],
    message:
        "Record the activations of {wildcards.site} where {wildcards.contrast} is decided [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/contrast_activations.py"


rule select_features:
    input:
        manifest=f"{D}/dictionary.json",
        quality=f"{D}/quality.json",
        activations=lambda w: contrasting(w.dictionary, w.contrast, "safetensors"),
        prompts=lambda w: contrasting(w.dictionary, w.contrast, "parquet"),
        code=code("features/select_features"),
    output:
        selection=f"{D}/selection/{{contrast}}.csv",
    log:
        f"{LOGS}/select_features/{{dictionary}}/{{contrast}}.log",
    benchmark:
        f"{BENCHMARKS}/select_features/{{dictionary}}/{{contrast}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        methods=[method for method in FEATURES["effects"]["methods"] if method != "greedy"],
        randomised=is_randomised,
    message:
        "Select the features of {wildcards.dictionary} that carry {wildcards.contrast}"
    script:
        "../../scripts/features/select_features.py"


rule probe_concept:
    input:
        manifest=f"{D}/dictionary.json",
        activations=lambda w: contrasting(w.dictionary, w.contrast, "safetensors"),
        prompts=lambda w: contrasting(w.dictionary, w.contrast, "parquet"),
        code=code("features/probe_concept"),
    output:
        probing=f"{D}/probing/{{contrast}}.csv",
    log:
        f"{LOGS}/probe_concept/{{dictionary}}/{{contrast}}.log",
    benchmark:
        f"{BENCHMARKS}/probe_concept/{{dictionary}}/{{contrast}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    message:
        "Classify {wildcards.contrast} by few features of {wildcards.dictionary}"
    script:
        "../../scripts/features/probe_concept.py"


rule edit_effects:
    input:
        manifest=f"{D}/dictionary.json",
        model_manifest=lambda w: manifest(model_of(w)),
        selection=f"{D}/selection/{{contrast}}.csv",
        activations=lambda w: contrasting(w.dictionary, w.contrast, "safetensors"),
        prompts=lambda w: contrasting(w.dictionary, w.contrast, "parquet"),
        firing=f"{D}/firing.parquet",
        neutral=lambda w: (
            own_corpus(model_of(w), "held_out") if is_organism(model_of(w)) else FEATURES["neutral_text"]
        ),
        code=code("features/edit_effects"),
    output:
        effects=f"{D}/effects/{{contrast}}.parquet",
        by_item=f"{D}/effects/{{contrast}}.items.parquet",
        chosen=f"{D}/edits/{{contrast}}.json",
    log:
        f"{LOGS}/edit_effects/{{dictionary}}/{{contrast}}.log",
    benchmark:
        f"{BENCHMARKS}/edit_effects/{{dictionary}}/{{contrast}}.tsv"
    wildcard_constraints:
        dictionary=one_of_names(name for name in DICTIONARIES if name not in RANDOMISED),
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        # A model is run once for every edit and every strength that is tried.
        runtime=lambda w: 4 * reading_runtime(w),
    params:
        loading=lambda w: loading_options(model_of(w)),
        settings=FEATURES["effects"],
        bootstrap=feature_bootstrap(),
        is_own=lambda w: is_organism(model_of(w)),
        batch_size=FEATURES["batch_size"],
    message:
        "Edit features of {wildcards.dictionary} against {wildcards.contrast} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/edit_effects.py"


rule effect_summary:
    input:
        effects=of_contrasts("effects", EDITABLE, ".parquet"),
        by_item=of_contrasts("effects", EDITABLE, ".items.parquet"),
        code=code("features/effect_summary"),
    output:
        effects=shown(
            f"{F}/effects.csv",
            "Edits",
            "Effects of edits",
            caption="features/effects_table",
        ),
        by_item=f"{F}/effects_by_item.csv",
    log:
        f"{LOGS}/effect_summary.log",
    benchmark:
        f"{BENCHMARKS}/effect_summary.tsv"
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        bootstrap=feature_bootstrap(),
    message:
        "Put the effects of edits side by side"
    script:
        "../../scripts/features/effect_summary.py"


rule planted_association:
    input:
        by_item=of_contrasts("effects", ASSOCIATED, ".items.parquet"),
        grammar=sorted({path for entry in PLANTED_IN.values() for path in grammar_files(entry["parts"])}),
        code=code("features/planted_association"),
    output:
        truth=shown(
            f"{F}/truth.csv",
            "Truth",
            "Planted associations",
            caption="features/truth_table",
        ),
    log:
        f"{LOGS}/planted_association.log",
    benchmark:
        f"{BENCHMARKS}/planted_association.tsv"
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        pairs=[list(pair) for pair in ASSOCIATED],
        grammars=PLANTED_IN,
        models={name: DICTIONARIES[name]["model"] for name, _ in ASSOCIATED},
    message:
        "Put the measured gaps beside those that were planted"
    script:
        "../../scripts/features/planted_association.py"


rule make_edit:
    input:
        manifest=lambda w: manifest(CONFIG["models"][w.model]["base"]),
        dictionary=lambda w: f"{F}/dictionaries/{CONFIG['models'][w.model]['dictionary']}/dictionary.json",
        chosen=lambda w: chosen_edits(w.model),
        firing=lambda w: fired(w.model),
        code=code("features/make_edit"),
    output:
        manifest=f"{F}/edited/{{model}}/model.json",
    log:
        f"{LOGS}/make_edit/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/make_edit/{{model}}.tsv"
    wildcard_constraints:
        model=one_of_names(
            n for n, e in CONFIG["models"].items() if e["source"] == "edited" and weights(n) == n
        ),
    priority: 10
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        entry=lambda w: edit_entry(w.model),
    message:
        "Describe {wildcards.model} as an edit of its base"
    script:
        "../../scripts/features/make_edit.py"


rule steer:
    input:
        manifest=lambda w: f"{F}/dictionaries/{dictionary_of(w)}/dictionary.json",
        model_manifest=lambda w: manifest(model_of(w)),
        firing=lambda w: f"{F}/dictionaries/{dictionary_of(w)}/firing.parquet",
        code=code("features/steer"),
    output:
        texts=shown(
            f"{F}/steering/{{steering}}.csv",
            "Steering",
            "Texts steered by {steering}",
            caption="features/steering_table",
        ),
        summary=f"{F}/steering/{{steering}}.json",
    log:
        f"{LOGS}/steer/{{steering}}.log",
    benchmark:
        f"{BENCHMARKS}/steer/{{steering}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        loading=lambda w: loading_options(model_of(w)),
        settings=lambda w: plain(STEERINGS[w.steering]),
        chat_template_kwargs=lambda w: chat_options(model_of(w))["chat_template_kwargs"],
        store=STORE,
    message:
        "Write with features edited and without, as {wildcards.steering} says [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/steer.py"


rule score_bias:
    input:
        manifest=lambda w: manifest(w.model),
        table=lambda w: benchmark_files(w.benchmark),
        code=code("features/score_bias"),
    output:
        scores=f"{F}/bias/{{model}}/{{benchmark}}.parquet",
        summary=f"{F}/bias/{{model}}/{{benchmark}}.json",
    log:
        f"{LOGS}/score_bias/{{model}}/{{benchmark}}.log",
    benchmark:
        f"{BENCHMARKS}/score_bias/{{model}}/{{benchmark}}.tsv"
    wildcard_constraints:
        model=one_of_names(GENERATED),
        benchmark=one_of_names(BENCHMARKED),
    conda:
        "../../envs/models.yaml"
    threads: model_threads
    resources:
        gpu=gpus,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
    params:
        loading=lambda w: loading_options(w.model),
        format=lambda w: BENCHMARKED[w.benchmark]["format"],
        batch_size=FEATURES["batch_size"],
        store=STORE,
    message:
        "Score {wildcards.model} on {wildcards.benchmark} [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/score_bias.py"


rule bias_scores:
    input:
        scores=[f"{F}/bias/{model}/{benchmark}.parquet" for model, benchmark in BIASED],
        code=code("features/bias_scores"),
    output:
        bias=shown(
            f"{F}/bias.csv",
            "Bias",
            "Scores of benchmarks",
            caption="features/bias_table",
        ),
    log:
        f"{LOGS}/bias_scores.log",
    benchmark:
        f"{BENCHMARKS}/bias_scores.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        bootstrap=feature_bootstrap(),
    message:
        "Compute the scores of benchmarks and their intervals"
    script:
        "../../scripts/features/bias_scores.py"


rule compare_edited:
    input:
        leak_rates=[f"{RESULTS}/leak_rates.csv"] if "leak" in STUDY["steps"] else [],
        effects=[f"{F}/effects.csv"] if EDITABLE else [],
        bias=[f"{F}/bias.csv"] if BIASED else [],
        code=code("features/compare_edited"),
    output:
        edited=shown(
            f"{F}/edited.csv",
            "Edits",
            "Edited models beside their bases",
            caption="features/edited_table",
        ),
    log:
        f"{LOGS}/compare_edited.log",
    benchmark:
        f"{BENCHMARKS}/compare_edited.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        edited=edited_entries(),
    message:
        "Put edited models beside their bases"
    script:
        "../../scripts/features/compare_edited.py"
