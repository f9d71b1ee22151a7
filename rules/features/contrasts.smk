# contrasts, dictionaries → results/<study>/features/: what a model has where a contrast is decided, and which features
# carry it.


rule contrast_activations:
    input:
        manifest=lambda w: study.manifest(w.model),
        files=lambda w: features.contrast_files(w.contrast),
        code=code("features/contrast_activations"),
    output:
        activations="<features>/contrasts/{contrast}/{model}.L{layer}.{read_corpus}.safetensors",
        prompts="<features>/contrasts/{contrast}/{model}.L{layer}.{read_corpus}.parquet",
    log:
        "<logs>/contrast_activations/{contrast}/{model}.L{layer}.{read_corpus}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        chat=lambda w: study.chat(w.model),
        prompting=lambda w: features.prompting(w.model, w.contrast),
        contrast=lambda w: features.contrast(w.contrast),
        batch_size=features.settings["batch_size"],
        seed=features.settings["seed"],
    script:
        "../../scripts/features/contrast_activations.py"


rule select_features:
    input:
        **features.contrast_at_site(),
        manifest="<dictionary>/dictionary.json",
        # Of a dictionary below the bar nothing is selected, unless it is a control.
        quality="<dictionary>/quality.json",
        code=code("features/select_features"),
    output:
        selection="<dictionary>/selection/{contrast}.csv",
    log:
        "<logs>/select_features/{dictionary}/{contrast}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        mem_mb=growing(8000),
    params:
        methods=features.selecting,
        is_control=lambda w: w.dictionary in features.controls,
    script:
        "../../scripts/features/select_features.py"


rule probe_concept:
    input:
        **features.contrast_at_site(),
        manifest="<dictionary>/dictionary.json",
        code=code("features/probe_concept"),
    output:
        probing="<dictionary>/probing/{contrast}.csv",
    log:
        "<logs>/probe_concept/{dictionary}/{contrast}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        mem_mb=growing(8000),
    script:
        "../../scripts/features/probe_concept.py"
