# corpora, models → results/<study>/features/: what a model has before a block, and dictionaries of it.


wildcard_constraints:
    **features.wildcards(),


# A job with the model of a dictionary, or of that of a steering.
ON_MODEL_OF_DICTIONARY = on_model(study.needs, lambda w: features.model(**w))


rule cache_activations:
    input:
        manifest=lambda w: study.manifest(w.model),
        corpus=lambda w: features.texts(w.model, w.read_corpus, w.part),
        code=code("features/cache_activations"),
    output:
        activations="<features>/activations/{model}.L{layer}.{read_corpus}/{part}/{shard}.safetensors",
    log:
        "<logs>/cache_activations/{model}.L{layer}.{read_corpus}/{part}/{shard}.log",
    # What others wait for.
    priority: 10
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        source=lambda w: features.source(w.read_corpus),
        tokens=lambda w: features.settings["tokens"][w.part],
        batch_size=features.settings["batch_size"],
    script:
        "../../scripts/features/cache_activations.py"


rule train_dictionary:
    input:
        activations=lambda w: expand(
            "<features>/activations/{site}/train/{shard}.safetensors",
            site=features.site(w.trained_dictionary),
            shard=features.shards,
        ),
        code=code("features/train_dictionary"),
    output:
        weights="<features>/dictionaries/{trained_dictionary}/weights/sae_weights.safetensors",
        cfg="<features>/dictionaries/{trained_dictionary}/weights/cfg.json",
        sparsity="<features>/dictionaries/{trained_dictionary}/weights/sparsity.safetensors",
        manifest="<features>/dictionaries/{trained_dictionary}/dictionary.json",
        training="<features>/dictionaries/{trained_dictionary}/training.json",
    log:
        "<logs>/train_dictionary/{trained_dictionary}.log",
    priority: 10
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(dictionary=w.trained_dictionary))
    resources:
        **on_model(features.needs_of_training, lambda w: features.model(dictionary=w.trained_dictionary)),
    params:
        settings=lambda w: features.training(w.trained_dictionary),
        entry=lambda w: features.entry(w.trained_dictionary, "seed", "model", "layer", "corpus"),
    script:
        "../../scripts/features/train_dictionary.py"


rule read_dictionary:
    input:
        files=lambda w: features.dictionary_files(w.local_dictionary),
        code=code("features/read_dictionary"),
    output:
        manifest="<features>/dictionaries/{local_dictionary}/dictionary.json",
    log:
        "<logs>/read_dictionary/{local_dictionary}.log",
    # A person should hear of mistakes before models run.
    priority: 20
    conda:
        "../../envs/models.yaml"
    params:
        entry=lambda w: features.entry(w.local_dictionary, "path", "model", "layer", "centre"),
    script:
        "../../scripts/features/read_dictionary.py"


rule fetch_dictionary:
    input:
        code=code("features/fetch_dictionary"),
    output:
        manifest="<features>/dictionaries/{hub_dictionary}/dictionary.json",
    log:
        "<logs>/fetch_dictionary/{hub_dictionary}.log",
    # It tries again by itself, and knows when that is worth it.
    retries: 0
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        entry=lambda w: features.fetched(w.hub_dictionary),
    script:
        "../../scripts/features/fetch_dictionary.py"


rule dictionary_quality:
    input:
        manifest="<dictionary>/dictionary.json",
        model_manifest=lambda w: study.manifest(features.model(**w)),
        activations=features.shards_of_site("<features>/activations/{site}/held_out/{shard}.safetensors"),
        # The model reads the texts of the activations again, with what the dictionary makes of them in their place.
        corpus=lambda w: features.texts(**features.entry(w.dictionary, "model", "corpus"), part="held_out"),
        code=code("features/dictionary_quality"),
    output:
        quality="<dictionary>/quality.json",
    log:
        "<logs>/dictionary_quality/{dictionary}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        **ON_MODEL_OF_DICTIONARY,
    params:
        loading=lambda w: study.loading(features.model(**w)),
        source=lambda w: features.source(**features.entry(w.dictionary, "corpus")),
        tokens=features.settings["tokens"]["held_out"],
        batch_size=features.settings["batch_size"],
        bar=features.settings["bar"],
    script:
        "../../scripts/features/dictionary_quality.py"


rule seed_agreement:
    input:
        manifests=expand("<features>/dictionaries/{dictionary}/dictionary.json", dictionary=features.seeded),
        code=code("features/seed_agreement"),
    output:
        agreement=shown("<features>/seed_agreement.csv"),
        cosines="<features>/seed_agreement.parquet",
    log:
        "<logs>/seed_agreement.log",
    conda:
        "../../envs/models.yaml"
    params:
        dictionaries=features.seeded,
    script:
        "../../scripts/features/seed_agreement.py"
