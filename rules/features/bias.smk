# models, data sets of sentence pairs → results/<study>/features/bias/: how often a model finds the stereotype likelier.


rule score_bias:
    input:
        manifest=lambda w: study.manifest(w.model),
        table=lambda w: features.bias_files(w.bias_test),
        code=code("features/score_bias"),
    output:
        multiext("<features>/bias/{model}/{bias_test}", scores=".parquet", summary=".json"),
    log:
        "<logs>/score_bias/{model}/{bias_test}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        format=lambda w: features.bias_tests[w.bias_test]["format"],
        batch_size=features.settings["batch_size"],
        store=store,
    script:
        "../../scripts/features/score_bias.py"


rule bias_scores:
    input:
        scores=expand("<features>/bias/{model}/{bias_test}.parquet", **features.biased),
        code=code("features/bias_scores"),
    output:
        bias=shown("<features>/bias.csv"),
    log:
        "<logs>/bias_scores.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        level=features.settings["level"],
    script:
        "../../scripts/features/bias_scores.py"
