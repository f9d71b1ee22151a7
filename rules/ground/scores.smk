# models → results/<study>/ground/scores/: how probable a model finds each sentence that pairs a subject and a group.


rule score_sentences:
    input:
        templates=lambda w: ground.template_files(w.axis),
        naming=lambda w: ground.naming_files(w.axis),
        manifest=lambda w: study.manifest(w.model),
        code=code("ground/score_sentences"),
    output:
        multiext("<ground>/scores/{model}/{axis}", scores=".parquet", summary=".json"),
    log:
        "<logs>/score_sentences/{model}/{axis}.log",
    wildcard_constraints:
        model=one_of_names(ground.scoring),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        languages=ground.settings["languages"],
        templates_used=ground.settings["templates_used"],
        country=ground.settings["country"],
        masking=ground.settings["masking"],
        templates=lambda w: ground.axes[w.axis]["templates"],
        naming=lambda w: ground.naming(w.axis),
        batch_size=ground.settings["batch_size"],
        store=store,
    script:
        "../../scripts/ground/score_sentences.py"


rule import_scores:
    input:
        scores=lambda w: ground.score_files(w.imported, w.axis).values(),
        naming=lambda w: ground.naming_files(w.axis),
        code=code("ground/import_scores"),
    output:
        scores="<ground>/scores/{imported}/{axis}.parquet",
    log:
        "<logs>/import_scores/{imported}/{axis}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        axis=lambda w: ground.imported_scores(w.imported, w.axis),
    script:
        "../../scripts/ground/import_scores.py"
