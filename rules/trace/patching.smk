# prompts, models → results/<study>/trace/{scores,lens,patched}/ → patching.csv: how far a concept makes each associate
# likelier, in which layers that comes up, where the concept is read, and when it has moved to the last token.


rule read_layers:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        manifest=lambda w: study.manifest(w.model),
        code=code("trace/read_layers"),
    output:
        scores="<trace>/scores/{model}/{templated}.parquet",
        summary="<trace>/scores/{model}/{templated}.json",
        lens="<trace>/lens/{model}/{templated}.parquet",
    log:
        "<logs>/read_layers/{model}/{templated}.log",
    wildcard_constraints:
        model=one_of_names(trace.models),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        **trace.asking,
        store=store,
    script:
        "../../scripts/trace/read_layers.py"


rule ablate:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        manifest="<features>/dictionaries/{dictionary}/dictionary.json",
        model_manifest=lambda w: study.manifest(features.model(**w)),
        code=code("trace/ablate"),
    output:
        ablated="<trace>/ablated/{dictionary}/{templated}.parquet",
    log:
        "<logs>/ablate/{dictionary}/{templated}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        **ON_MODEL_OF_DICTIONARY,
    params:
        **trace.ablating,
    script:
        "../../scripts/trace/ablate.py"


rule patch:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        manifest=lambda w: study.manifest(w.model),
        code=code("trace/patch"),
    output:
        patched="<trace>/patched/{model}/{templated}.parquet",
        heads="<trace>/patched/{model}/{templated}.heads.parquet",
        pairs="<trace>/patched/{model}/{templated}.pairs.parquet",
    log:
        "<logs>/patch/{model}/{templated}.log",
    wildcard_constraints:
        model=one_of_names(trace.models),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        **trace.swapping,
    script:
        "../../scripts/trace/patch.py"


rule summarise_patching:
    input:
        patched=trace.files("<trace>/patched/{model}/{prompt_set}.parquet", trace.patched),
        heads=trace.files("<trace>/patched/{model}/{prompt_set}.heads.parquet", trace.patched),
        pairs=trace.files("<trace>/patched/{model}/{prompt_set}.pairs.parquet", trace.patched),
        code=code("trace/summarise_patching"),
    output:
        patching=shown("<trace>/patching.csv"),
        by_category="<trace>/patching_by_category.csv",
        heads="<trace>/patching_heads.csv",
        pairs="<trace>/patching_pairs.csv",
    log:
        "<logs>/summarise_patching.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        pairs=trace.patched,
        level=trace.settings["level"],
    script:
        "../../scripts/trace/summarise_patching.py"
