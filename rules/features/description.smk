# dictionaries, activations → results/<study>/features/dictionaries/: what each feature fires on and promotes, what it is
# taken to stand for, and a page to read it on.


rule feature_statistics:
    input:
        manifest="<dictionary>/dictionary.json",
        model_manifest=lambda w: study.manifest(features.model(**w)),
        code=code("features/feature_statistics"),
    output:
        statistics="<dictionary>/statistics.parquet",
        promoted="<dictionary>/promoted.parquet",
    log:
        "<logs>/feature_statistics/{dictionary}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        **ON_MODEL_OF_DICTIONARY,
    params:
        loading=lambda w: study.loading(features.model(**w)),
        promoted=features.settings["promoted"],
    script:
        "../../scripts/features/feature_statistics.py"


rule feature_contexts:
    input:
        manifest="<dictionary>/dictionary.json",
        # Of the model its tokenizer alone.
        model_manifest=lambda w: study.manifest(features.model(**w)),
        activations=features.shards_of_site("<features>/activations/{site}/held_out/{shard}.safetensors"),
        code=code("features/feature_contexts"),
    output:
        firing="<dictionary>/firing.parquet",
        contexts="<dictionary>/contexts.parquet",
        token_counts="<dictionary>/token_counts.parquet",
        tokens="<dictionary>/tokens.parquet",
    log:
        "<logs>/feature_contexts/{dictionary}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        mem_mb=growing(8000),
    params:
        loading=lambda w: study.loading(features.model(**w)),
        contexts=features.settings["contexts"],
        seed=features.settings["seed"],
    script:
        "../../scripts/features/feature_contexts.py"


rule explain_features:
    input:
        # Of a dictionary below the bar nothing is explained, unless it is a control.
        quality="<dictionary>/quality.json",
        firing="<dictionary>/firing.parquet",
        contexts="<dictionary>/contexts.parquet",
        token_counts="<dictionary>/token_counts.parquet",
        tokens="<dictionary>/tokens.parquet",
        code=code("features/explain_features"),
    output:
        multiext("<dictionary>/explanations/{explainer}", explanations=".parquet", summary=".json"),
    log:
        "<logs>/explain_features/{dictionary}/{explainer}.log",
    conda:
        "../../envs/counting.yaml"
    resources:
        runtime=growing(600),
    params:
        explainer=lambda w: features.explainer(w.explainer),
        is_control=lambda w: w.dictionary in features.controls,
        store=store,
        seed=features.settings["seed"],
    script:
        "../../scripts/features/explain_features.py"


rule feature_table:
    input:
        statistics="<dictionary>/statistics.parquet",
        promoted="<dictionary>/promoted.parquet",
        firing="<dictionary>/firing.parquet",
        token_counts="<dictionary>/token_counts.parquet",
        tokens="<dictionary>/tokens.parquet",
        explanations=expand("<dictionary>/explanations/{explainer}.parquet", explainer=features.explainers),
        code=code("features/feature_table"),
    output:
        multiext("<dictionary>/features", table=".parquet", csv=".csv"),
    log:
        "<logs>/feature_table/{dictionary}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        explainers=features.explainers,
    script:
        "../../scripts/features/feature_table.py"


rule feature_page:
    input:
        manifest="<dictionary>/dictionary.json",
        quality="<dictionary>/quality.json",
        table="<dictionary>/features.parquet",
        promoted="<dictionary>/promoted.parquet",
        contexts="<dictionary>/contexts.parquet",
        template=own("report/features.template.html"),
        shared=[own("report/page.css"), own("report/page.js")],
        code=code("features/feature_page"),
    output:
        page=shown("<dictionary>/index.html"),
    log:
        "<logs>/feature_page/{dictionary}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=study.name,
        dictionary=lambda w: w.get("dictionary", features.first),
        pages=lambda w: features.pages(w.get("dictionary", features.first)),
        page_features=features.settings["page_features"],
    script:
        "../../scripts/features/feature_page.py"


# One dictionary's page is where a person looks first.
use rule feature_page as first_feature_page with:
    output:
        page=shown("<features>/index.html", dictionary=features.first),
    log:
        "<logs>/first_feature_page.log",
    pathvars:
        dictionary=f"<features>/dictionaries/{features.first or 'none'}",


rule feature_summary:
    input:
        quality=expand("<features>/dictionaries/{dictionary}/quality.json", dictionary=features.dictionaries),
        tables=expand("<features>/dictionaries/{dictionary}/features.parquet", dictionary=features.dictionaries),
        probing=expand("<features>/dictionaries/{dictionary}/probing/{contrast}.csv", zip, **features.contrasted),
        selection=expand("<features>/dictionaries/{dictionary}/selection/{contrast}.csv", zip, **features.contrasted),
        code=code("features/feature_summary"),
    output:
        quality=shown("<features>/quality.csv"),
        polysemanticity=shown("<features>/polysemanticity.csv"),
        probing=shown("<features>/probing.csv"),
        selected=shown("<features>/selected.csv"),
    log:
        "<logs>/feature_summary.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        dictionaries=features.described(),
        contrasted=features.contrasted,
    script:
        "../../scripts/features/feature_summary.py"
