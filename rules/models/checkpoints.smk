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
