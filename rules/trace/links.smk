# prompts → results/<study>/trace/: what is counted of them, what models know of their associations, and the links of each
# association. Counts are the step ground's own (rules/ground/counts.smk), by any of its backends.


rule name_terms:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        code=code("trace/name_terms"),
    output:
        concepts="<trace>/terms/{templated}.concepts.csv",
        associates="<trace>/terms/{templated}.associates.csv",
    log:
        "<logs>/name_terms/{templated}.log",
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/trace/name_terms.py"


rule build_cues:
    input:
        prompts="<results>/prompts/{templated}.parquet",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        cues=lambda w: trace.cue_file(w.templated),
        code=code("trace/build_cues"),
    output:
        cues="<trace>/cues/{templated}.parquet",
        candidates="<trace>/cues/{templated}.candidates.parquet",
    log:
        "<logs>/build_cues/{templated}.log",
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/trace/build_cues.py"


rule score_cues:
    input:
        cues="<trace>/cues/{templated}.parquet",
        candidates="<trace>/cues/{templated}.candidates.parquet",
        manifest=lambda w: study.manifest(w.model),
        code=code("trace/score_cues"),
    output:
        scores="<trace>/cue_scores/{model}/{templated}.parquet",
        summary="<trace>/cue_scores/{model}/{templated}.json",
    log:
        "<logs>/score_cues/{model}/{templated}.log",
    wildcard_constraints:
        model=one_of_names(trace.models),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        **trace.asking,
        is_organism=lambda w: study.is_organism(w.model),
        store=store,
    script:
        "../../scripts/trace/score_cues.py"


rule link:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=trace.sets),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=trace.sets),
        scores=trace.files("<trace>/scores/{model}/{prompt_set}.parquet", trace.pairs),
        cues=expand("<trace>/cues/{prompt_set}.parquet", prompt_set=trace.cued),
        cue_scores=trace.files("<trace>/cue_scores/{model}/{prompt_set}.parquet", trace.cue_scored),
        counts=[f"<ground>/counts/{axis}.parquet" for axis in trace.axes.values()],
        concepts=trace.files("<trace>/terms/{prompt_set}.concepts.csv", trace.axes),
        associates=trace.files("<trace>/terms/{prompt_set}.associates.csv", trace.axes),
        terms=[f"<ground>/counts/{axis}.terms.csv" for axis in trace.totalled.values()],
        totals=[f"<ground>/counts/{axis}.json" for axis in trace.totalled.values()],
        lens=trace.files("<trace>/lens/{model}/{prompt_set}.parquet", trace.pairs),
        ablated=trace.ablated_files(),
        match=["<results>/match_rates_by_concept.csv"] if trace.scorer else [],
        grammar=trace.grammar_files,
        code=code("trace/link"),
    output:
        links=shown("<trace>/links.csv"),
        relations=shown("<trace>/relations.csv"),
        templates="<trace>/templates.csv",
        features="<trace>/features.csv",
        empty="<trace>/empty_links.csv",
    log:
        "<logs>/link.log",
    conda:
        "../../envs/counting.yaml"
    params:
        **trace.linking(),
    script:
        "../../scripts/trace/link.py"
