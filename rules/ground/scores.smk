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
        **ground.filling(),
        loading=lambda w: study.loading(w.model),
        masking=ground.settings["masking"],
        batch_size=ground.settings["batch_size"],
        store=store,
    script:
        "../../scripts/ground/score_sentences.py"


rule score_served_sentences:
    input:
        templates=lambda w: ground.template_files(w.axis),
        naming=lambda w: ground.naming_files(w.axis),
        code=code("ground/score_served_sentences"),
    output:
        multiext("<ground>/scores/{served}/{axis}", scores=".parquet", summary=".json"),
    log:
        "<logs>/score_served_sentences/{served}/{axis}.log",
    conda:
        "../../envs/models.yaml"
    resources:
        runtime=growing(600),
    params:
        **ground.filling(),
        server=lambda w: study.server(w.served, "extra_body"),
        beginning=lambda w: study.entries[w.served]["beginning"],
        asking=lambda w, output: study.asking(w.served, Path(output.scores).parents[3]),
        store=store,
    script:
        "../../scripts/ground/score_served_sentences.py"


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
