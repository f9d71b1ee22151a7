# links, patching, texts, corpora → results/<study>/trace/: figures, and a page of every association with its links.


rule plot_trace:
    input:
        tables=[trace.table(name) for name in trace.tables],
        code=code("figures/plot"),
    output:
        pdf=[f"<trace>/figures/{figure}.pdf" for figure in trace.figures],
        png=[shown(f"<trace>/figures/{figure}.png") for figure in trace.figures],
    log:
        "<logs>/plot_trace.log",
    conda:
        "../../envs/plotting.yaml"
    threads: 4
    params:
        **trace.plotting(),
    script:
        "../../scripts/figures/plot.py"


rule find_contexts:
    input:
        concepts="<trace>/terms/{templated}.concepts.csv",
        associates="<trace>/terms/{templated}.associates.csv",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        corpus=lambda w: ground.corpus(trace.axes[w.model, w.templated])[0],
        code=code("trace/find_contexts"),
    output:
        contexts="<trace>/contexts/{model}/{templated}.parquet",
    log:
        "<logs>/find_contexts/{model}/{templated}.log",
    wildcard_constraints:
        model=one_of_names(trace.models),
    conda:
        "../../envs/counting.yaml"
    params:
        text=lambda w: ground.corpus(trace.axes[w.model, w.templated])[1],
        window=trace.settings["window"],
        contexts=trace.settings["contexts"],
    script:
        "../../scripts/trace/find_contexts.py"


# From an index on a server, which all models that are no organisms share.
rule fetch_contexts:
    input:
        concepts="<trace>/terms/{templated}.concepts.csv",
        associates="<trace>/terms/{templated}.associates.csv",
        candidates="<results>/prompts/{templated}.candidates.parquet",
        code=code("trace/fetch_contexts"),
    output:
        contexts="<trace>/indexed_contexts/{templated}.parquet",
    log:
        "<logs>/fetch_contexts/{templated}.log",
    # It tries again by itself, and knows for what that is worth it.
    retries: 0
    localrule: True
    conda:
        "../../envs/counting.yaml"
    params:
        models=lambda w: trace.indexed[w.templated],
        source=lambda w: ground.index(trace.axis_of_index(w.templated)),
        requests_per_second=lambda w, output: ground.pace(trace.axis_of_index(w.templated)),
        window=trace.settings["window"],
        contexts=trace.settings["contexts"],
        store=store,
    script:
        "../../scripts/trace/fetch_contexts.py"


rule trace_page:
    input:
        links="<trace>/links.csv",
        relations="<trace>/relations.csv",
        patching="<trace>/patching.csv",
        empty_links="<trace>/empty_links.csv",
        mitigations=["<trace>/mitigations.csv"] if trace.mitigating.trials else [],
        contexts=trace.files("<trace>/contexts/{model}/{prompt_set}.parquet", trace.in_corpora)
        + [f"<trace>/indexed_contexts/{prompt_set}.parquet" for prompt_set in trace.indexed],
        lens=trace.files("<trace>/lens/{model}/{prompt_set}.parquet", trace.pairs),
        patched=trace.files("<trace>/patched/{model}/{prompt_set}.parquet", trace.patched),
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=trace.sets),
        generations=trace.files("<results>/generations/{model}/{prompt_set}.parquet", trace.written),
        template=[own("report/trace.template.html"), own("report/page.css"), own("report/page.js")],
        code=code("trace/trace_page"),
    output:
        page="<trace>/index.html",
    log:
        "<logs>/trace_page.log",
    conda:
        "../../envs/report.yaml"
    params:
        **trace.page(),
    script:
        "../../scripts/trace/trace_page.py"


for part in trace.parts:

    rule:
        name:
            f"trace_{part}"
        input:
            lambda w, part=part: targets("trace", part),
        localrule: True
