# corpora, models → results/<study>/features/: what a model has before a block, dictionaries of it, how good these are,
# and all that is known of each of their features.


wildcard_constraints:
    site=one_of_names(SITES),
    dictionary=one_of_names(DICTIONARIES),
    explainer=one_of_names(EXPLAINERS),


rule cache_activations:
    input:
        manifest=lambda w: manifest(model_of(w)),
        corpus=lambda w: read_texts(w, w.part),
        code=code("features/cache_activations"),
    output:
        activations=f"{F}/activations/{{site}}/{{part}}/{{shard}}.safetensors",
    log:
        f"{LOGS}/cache_activations/{{site}}/{{part}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/cache_activations/{{site}}/{{part}}/{{shard}}.tsv"
    wildcard_constraints:
        part="train|held_out",
    # What others wait for.
    priority: 10
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        loading=lambda w: loading_options(model_of(w)),
        layer=lambda w: layer_of(dictionary_of(w)),
        part=lambda w: w.part,
        tokens=lambda w: FEATURES["tokens"][w.part],
        context_length=FEATURES["context_length"],
        batch_size=FEATURES["batch_size"],
        randomised=is_randomised,
        seed=FEATURES["seed"],
        is_own=reads_own,
        text=text_column,
    message:
        "Record the activations of {wildcards.site} ({wildcards.part}, shard {wildcards.shard}) [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/cache_activations.py"


rule train_dictionary:
    input:
        activations=lambda w: activations(w.dictionary, "train"),
        code=code("features/train_dictionary"),
    output:
        weights=f"{D}/weights/sae_weights.safetensors",
        cfg=f"{D}/weights/cfg.json",
        sparsity=f"{D}/weights/sparsity.safetensors",
        manifest=f"{D}/dictionary.json",
        training=f"{D}/training.json",
    log:
        f"{LOGS}/train_dictionary/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/train_dictionary/{{dictionary}}.tsv"
    wildcard_constraints:
        dictionary=one_of_names(OF_SOURCE["trained"]),
    priority: 10
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        settings=lambda w: {
            key: DICTIONARIES[w.dictionary][key]
            for key in ("features", "k", "steps", "batch_size", "learning_rate")
        },
        seed=lambda w: DICTIONARIES[w.dictionary]["seed"],
        model=lambda w: model_of(w),
        corpus=lambda w: DICTIONARIES[w.dictionary]["corpus"],
        layer=lambda w: layer_of(w.dictionary),
    message:
        "Train the dictionary {wildcards.dictionary}"
    script:
        "../../scripts/features/train_dictionary.py"


rule read_dictionary:
    input:
        files=lambda w: feature_files.dictionary_files(DICTIONARIES[w.dictionary]["path"]),
        code=code("features/read_dictionary"),
    output:
        manifest=f"{D}/dictionary.json",
    log:
        f"{LOGS}/read_dictionary/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/read_dictionary/{{dictionary}}.tsv"
    wildcard_constraints:
        dictionary=one_of_names(OF_SOURCE["local"]),
    # Mistakes of a person are better heard before models run.
    priority: 20
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        path=lambda w: DICTIONARIES[w.dictionary]["path"],
        layer=lambda w: DICTIONARIES[w.dictionary]["layer"],
        centre=lambda w: DICTIONARIES[w.dictionary]["centre"],
        model=lambda w: model_of(w),
    message:
        "Read the dictionary {wildcards.dictionary} in {params.path}"
    script:
        "../../scripts/features/read_dictionary.py"


rule fetch_dictionary:
    input:
        code=code("features/fetch_dictionary"),
    output:
        manifest=f"{D}/dictionary.json",
    log:
        f"{LOGS}/fetch_dictionary/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch_dictionary/{{dictionary}}.tsv"
    wildcard_constraints:
        dictionary=one_of_names(OF_SOURCE["hub"]),
    # It tries again by itself, and knows for what that is worth it.
    retries: 0
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        release=lambda w: DICTIONARIES[w.dictionary]["release"],
        folder=lambda w: DICTIONARIES[w.dictionary]["folder"],
        revision=lambda w: DICTIONARIES[w.dictionary]["revision"],
        layer=lambda w: DICTIONARIES[w.dictionary]["layer"],
        centre=lambda w: DICTIONARIES[w.dictionary]["centre"],
        model=lambda w: model_of(w),
    message:
        "Fetch the dictionary {wildcards.dictionary} of {params.release} from the hub"
    script:
        "../../scripts/features/fetch_dictionary.py"


rule dictionary_quality:
    input:
        manifest=f"{D}/dictionary.json",
        model_manifest=lambda w: manifest(model_of(w)),
        activations=lambda w: activations(w.dictionary, "held_out"),
        corpus=lambda w: read_texts(w, "held_out"),
        code=code("features/dictionary_quality"),
    output:
        quality=f"{D}/quality.json",
    log:
        f"{LOGS}/dictionary_quality/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/dictionary_quality/{{dictionary}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        loading=lambda w: loading_options(model_of(w)),
        bar=FEATURES["bar"],
        context_length=FEATURES["context_length"],
        batch_size=FEATURES["batch_size"],
        tokens=FEATURES["tokens"]["held_out"],
        is_own=reads_own,
        text=text_column,
        randomised=is_randomised,
        seed=FEATURES["seed"],
    message:
        "Measure how good {wildcards.dictionary} is [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/dictionary_quality.py"


rule feature_statistics:
    input:
        manifest=f"{D}/dictionary.json",
        model_manifest=lambda w: manifest(model_of(w)),
        code=code("features/feature_statistics"),
    output:
        statistics=f"{D}/statistics.parquet",
        promoted=f"{D}/promoted.parquet",
    log:
        f"{LOGS}/feature_statistics/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/feature_statistics/{{dictionary}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        gpu=reading_gpus,
        mem_mb=reading_mem_mb,
        runtime=reading_runtime,
    params:
        loading=lambda w: loading_options(model_of(w)),
        promoted=FEATURES["promoted"],
        randomised=is_randomised,
        seed=FEATURES["seed"],
    message:
        "Find what the features of {wildcards.dictionary} promote [{resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min]"
    script:
        "../../scripts/features/feature_statistics.py"


rule feature_contexts:
    input:
        manifest=f"{D}/dictionary.json",
        model_manifest=lambda w: manifest(model_of(w)),
        activations=lambda w: activations(w.dictionary, "held_out"),
        code=code("features/feature_contexts"),
    output:
        firing=f"{D}/firing.parquet",
        contexts=f"{D}/contexts.parquet",
        token_counts=f"{D}/token_counts.parquet",
        tokens=f"{D}/tokens.parquet",
    log:
        f"{LOGS}/feature_contexts/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/feature_contexts/{{dictionary}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: reading_threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        loading=lambda w: loading_options(model_of(w)),
        contexts=FEATURES["contexts"],
        seed=FEATURES["seed"],
    message:
        "Find where the features of {wildcards.dictionary} fire"
    script:
        "../../scripts/features/feature_contexts.py"


rule explain_features:
    input:
        quality=f"{D}/quality.json",
        firing=f"{D}/firing.parquet",
        contexts=f"{D}/contexts.parquet",
        token_counts=f"{D}/token_counts.parquet",
        tokens=f"{D}/tokens.parquet",
        code=code("features/explain_features"),
    output:
        explanations=f"{D}/explanations/{{explainer}}.parquet",
        summary=f"{D}/explanations/{{explainer}}.json",
    log:
        f"{LOGS}/explain_features/{{dictionary}}/{{explainer}}.log",
    benchmark:
        f"{BENCHMARKS}/explain_features/{{dictionary}}/{{explainer}}.tsv"
    conda:
        "../../envs/counting.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
    params:
        explainer=lambda w: plain(EXPLAINERS[w.explainer]),
        randomised=is_randomised,
        store=STORE,
        seed=FEATURES["seed"],
    message:
        "Explain the features of {wildcards.dictionary} by {wildcards.explainer}"
    script:
        "../../scripts/features/explain_features.py"


rule feature_table:
    input:
        statistics=f"{D}/statistics.parquet",
        promoted=f"{D}/promoted.parquet",
        firing=f"{D}/firing.parquet",
        token_counts=f"{D}/token_counts.parquet",
        tokens=f"{D}/tokens.parquet",
        explanations=[f"{D}/explanations/{name}.parquet" for name in EXPLAINERS],
        code=code("features/feature_table"),
    output:
        table=f"{D}/features.parquet",
        csv=f"{D}/features.csv",
    log:
        f"{LOGS}/feature_table/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/feature_table/{{dictionary}}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        explainers=list(EXPLAINERS),
    message:
        "Put all that is known of the features of {wildcards.dictionary} side by side"
    script:
        "../../scripts/features/feature_table.py"


rule feature_page:
    input:
        manifest=f"{D}/dictionary.json",
        quality=f"{D}/quality.json",
        table=f"{D}/features.parquet",
        promoted=f"{D}/promoted.parquet",
        contexts=f"{D}/contexts.parquet",
        template="report/features.template.html",
        code=code("features/feature_page"),
    output:
        page=shown(
            f"{D}/index.html",
            "Features",
            "Features of {dictionary}",
            caption="features/index",
        ),
    log:
        f"{LOGS}/feature_page/{{dictionary}}.log",
    benchmark:
        f"{BENCHMARKS}/feature_page/{{dictionary}}.tsv"
    wildcard_constraints:
        dictionary=one_of_names(name for name in DICTIONARIES if name != FIRST),
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        study=STUDY["name"],
        dictionary=lambda w: w.dictionary,
        pages=lambda w: links_from(w.dictionary),
        page_features=FEATURES["page_features"],
    message:
        "Write the page of {wildcards.dictionary}"
    script:
        "../../scripts/features/feature_page.py"


use rule feature_page as first_feature_page with:
    input:
        manifest=f"{F}/dictionaries/{FIRST}/dictionary.json",
        quality=f"{F}/dictionaries/{FIRST}/quality.json",
        table=f"{F}/dictionaries/{FIRST}/features.parquet",
        promoted=f"{F}/dictionaries/{FIRST}/promoted.parquet",
        contexts=f"{F}/dictionaries/{FIRST}/contexts.parquet",
        template="report/features.template.html",
        code=code("features/feature_page"),
    output:
        page=shown(
            f"{F}/index.html",
            "Features",
            f"Features of {FIRST}",
            caption="features/index",
        ),
    log:
        f"{LOGS}/first_feature_page.log",
    benchmark:
        f"{BENCHMARKS}/first_feature_page.tsv"
    params:
        study=STUDY["name"],
        dictionary=FIRST,
        pages=links_from(FIRST),
        page_features=FEATURES["page_features"],
    message:
        "Write the page of {params.dictionary}"


rule feature_summary:
    input:
        quality=of_dictionaries("quality.json", DICTIONARIES),
        tables=of_dictionaries("features.parquet", DICTIONARIES),
        probing=of_contrasts("probing", CONTRASTED, ".csv"),
        selection=of_contrasts("selection", CONTRASTED, ".csv"),
        code=code("features/feature_summary"),
    output:
        quality=shown(
            f"{F}/quality.csv",
            "Dictionaries",
            "Quality",
            caption="features/quality_table",
        ),
        polysemanticity=shown(
            f"{F}/polysemanticity.csv",
            "Features",
            "Polysemanticity",
            caption="features/polysemanticity_table",
        ),
        probing=shown(
            f"{F}/probing.csv",
            "Features",
            "Probes of few features",
            caption="features/probing_table",
        ),
        selected=shown(
            f"{F}/selected.csv",
            "Features",
            "Selected features",
            caption="features/selected_table",
        ),
    log:
        f"{LOGS}/feature_summary.log",
    benchmark:
        f"{BENCHMARKS}/feature_summary.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        dictionaries=described_dictionaries(),
        pairs=[list(pair) for pair in CONTRASTED],
    message:
        "Put the dictionaries of the study side by side"
    script:
        "../../scripts/features/feature_summary.py"


rule seed_agreement:
    input:
        manifests=of_dictionaries("dictionary.json", SEEDED),
        code=code("features/seed_agreement"),
    output:
        agreement=shown(
            f"{F}/seed_agreement.csv",
            "Dictionaries",
            "Agreement of seeds",
            caption="features/seed_agreement_table",
        ),
        cosines=f"{F}/seed_agreement.parquet",
    log:
        f"{LOGS}/seed_agreement.log",
    benchmark:
        f"{BENCHMARKS}/seed_agreement.tsv"
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        dictionaries=SEEDED,
    message:
        "Match the features of dictionaries that differ in their seed"
    script:
        "../../scripts/features/seed_agreement.py"
