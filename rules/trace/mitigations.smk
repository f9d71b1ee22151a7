# prompts, prompts of use, models → results/<study>/trace/mitigations/ → mitigations.csv: what is left of a leak when a model
# is changed, what is kept of a concept's use, at which cost; and models with what was found.


rule build_use:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        use=lambda w: trace.mitigating.use_file(w.templated),
        code=code("trace/build_use"),
    output:
        multiext("<trace>/use/{templated}", use=".parquet", candidates=".candidates.parquet"),
    log:
        "<logs>/build_use/{templated}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        seed=trace.mitigating.settings["seed"],
    script:
        "../../scripts/trace/build_use.py"


rule mitigate:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        use=lambda w: trace.mitigating.use_table(w.templated, ".parquet"),
        use_candidates=lambda w: trace.mitigating.use_table(w.templated, ".candidates.parquet"),
        manifest=lambda w: study.manifest(w.model),
        neutral=lambda w: trace.mitigating.neutral(w.model),
        dictionary=lambda w: trace.mitigating.dictionary_file(w.mitigation, "dictionary.json"),
        firing=lambda w: trace.mitigating.dictionary_file(w.mitigation, "firing.parquet"),
        grammar=lambda w: trace.mitigating.grammar_files(w.model),
        code=code("trace/mitigate", "models/mitigating", "models/editing"),
    output:
        measured="<trace>/mitigations/{model}/{templated}/{mitigation}.parquet",
        chosen="<trace>/mitigations/{model}/{templated}/{mitigation}.json",
        folder=directory("<trace>/mitigations/{model}/{templated}/{mitigation}"),
    log:
        "<logs>/mitigate/{model}/{templated}/{mitigation}.log",
    wildcard_constraints:
        model=one_of_names(trace.mitigating.models),
        mitigation=trace.mitigating.names,
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **on_model(trace.mitigating.needs, lambda w: (w.model, w.mitigation)),
    params:
        **trace.mitigating.trying,
        store=store,
    script:
        "../../scripts/trace/mitigate.py"


rule summarise_mitigations:
    input:
        measured=trace.mitigating.files("<trace>/mitigations/{model}/{prompt_set}/{mitigation}.parquet"),
        chosen=trace.mitigating.files("<trace>/mitigations/{model}/{prompt_set}/{mitigation}.json"),
        units=expand("<results>/matching/{prompt_set}/{scorer}.parquet", **trace.mitigating.matched),
        generations=trace.files("<results>/generations/{model}/{prompt_set}.parquet", trace.mitigating.written),
        code=code("trace/summarise_mitigations"),
    output:
        mitigations=shown("<trace>/mitigations.csv"),
    log:
        "<logs>/summarise_mitigations.log",
    conda:
        "../../envs/models.yaml"
    params:
        **trace.mitigating.summarising(),
    script:
        "../../scripts/trace/summarise_mitigations.py"


rule score_tasks:
    input:
        chosen=lambda w: trace.mitigating.chosen_file(**w),
        manifest=lambda w: study.manifest(w.model),
        folder=trace.mitigating.harness_files(),
        code=code("trace/score_tasks", "models/mitigating", "models/editing"),
    output:
        scores="<trace>/tasks/{model}/{templated}/{mitigation}.parquet",
    log:
        "<logs>/score_tasks/{model}/{templated}/{mitigation}.log",
    wildcard_constraints:
        model=one_of_names(trace.mitigating.models),
        mitigation=trace.mitigating.names,
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **on_model(trace.mitigating.needs, lambda w: (w.model, w.mitigation)),
    params:
        **trace.mitigating.put_to_tasks,
    script:
        "../../scripts/trace/score_tasks.py"


rule compare_tasks:
    input:
        scores=trace.mitigating.files("<trace>/tasks/{model}/{prompt_set}/{mitigation}.parquet", harnessed=True),
        chosen=trace.mitigating.files("<trace>/mitigations/{model}/{prompt_set}/{mitigation}.json", harnessed=True),
        code=code("trace/compare_tasks"),
    output:
        tasks=shown("<trace>/mitigations_tasks.csv"),
    log:
        "<logs>/compare_tasks.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        trials=[list(trial) for trial in trace.mitigating.harnessed],
        cost=trace.mitigating.highest_cost,
    script:
        "../../scripts/trace/compare_tasks.py"


rule make_mitigated:
    input:
        chosen=lambda w: trace.mitigating.chosen(w.mitigated_model),
        code=code("trace/make_mitigated", "models/mitigating", "models/editing"),
    output:
        manifest="<trace>/mitigated/{mitigated_model}/model.json",
    log:
        "<logs>/make_mitigated/{mitigated_model}.log",
    priority: 10
    conda:
        "../../envs/analysis.yaml"
    params:
        cost=lambda w: study.entries[w.mitigated_model]["cost"],
    script:
        "../../scripts/trace/make_mitigated.py"
