# Where each model's weights are, and which: one manifest a model. Only here, and by query_counts, is anything fetched.


rule fetch_model:
    input:
        code=code("fetch_model"),
    output:
        manifest="results/models/{model}/model.json",
    log:
        "results/models/logs/fetch_model/{model}.log",
    benchmark:
        "results/models/benchmarks/fetch_model/{model}.tsv"
    wildcard_constraints:
        model=one_of_names(n for n, e in CONFIG["models"].items() if e["source"] == "hub" and weights(n) == n),
    # It tries again by itself, and knows for what that is worth it.
    retries: 0
    conda:
        "../envs/models.yaml"
    resources:
        # Its weights are mapped into memory, one file (of 5 GB, say) after another.
        mem_mb=8000,
        runtime=240,
    params:
        id=lambda w: CONFIG["models"][w.model]["id"],
        revision=lambda w: CONFIG["models"][w.model]["revision"],
        trust_remote_code=lambda w: CONFIG["models"][w.model]["trust_remote_code"],
    message:
        "Fetch {params.id} from the hub"
    script:
        "../scripts/fetch_model.py"


rule fetch_encoder:
    input:
        code=code("fetch_encoder"),
    output:
        manifest="results/models/encoders/{scorer}.json",
    log:
        "results/models/logs/fetch_encoder/{scorer}.log",
    benchmark:
        "results/models/benchmarks/fetch_encoder/{scorer}.tsv"
    wildcard_constraints:
        scorer=one_of_names(HUB_SCORERS),
    retries: 0
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        id=lambda w: CONFIG["scorers"][w.scorer]["model"],
        revision=lambda w: CONFIG["scorers"][w.scorer].get("revision") or "main",
    message:
        "Fetch the encoder {params.id} of {wildcards.scorer} from the hub"
    script:
        "../scripts/fetch_encoder.py"


rule describe_model:
    input:
        files=lambda w: list(map(str, model_files(Path(CONFIG["models"][w.model]["path"])))),
        code=code("describe_model"),
    output:
        manifest="results/models/{model}/model.json",
    log:
        "results/models/logs/describe_model/{model}.log",
    benchmark:
        "results/models/benchmarks/describe_model/{model}.tsv"
    wildcard_constraints:
        model=one_of_names(
            n for n, e in CONFIG["models"].items() if e["source"] == "local" and weights(n) == n
        ),
    conda:
        "../envs/models.yaml"
    resources:
        # Its weights are mapped into memory, one file after another.
        mem_mb=lambda w, input, attempt: (2000 + largest_mb(input.files)) * attempt,
        runtime=growing(30),
    params:
        path=lambda w: CONFIG["models"][w.model]["path"],
    message:
        "Find the weights of {wildcards.model} in {params.path}"
    script:
        "../scripts/describe_model.py"
