# prompts and models → results/<study>/generations/: what each model writes, and results/<study>/candidates/: the exact
# log-probabilities of what it could have written. One job does both, for both take the same model into memory.
# A large prompt set is divided: generate_shard does what generate does, for some of its prompts, and gather_shards puts
# it together. What follows cannot tell the difference.


rule generate:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        candidates="<results>/prompts/{prompt_set}.candidates.parquet",
        manifest=lambda w: study.manifest(w.model),
        code=code("leak/generate"),
    output:
        texts="<results>/generations/{model}/{prompt_set}.parquet",
        table="<results>/generations/{model}/{prompt_set}.csv",
        summary="<results>/generations/{model}/{prompt_set}.json",
        scores="<results>/candidates/{model}/{prompt_set}.parquet",
        scores_summary="<results>/candidates/{model}/{prompt_set}.json",
    log:
        "<logs>/generate/{model}/{prompt_set}.log",
    wildcard_constraints:
        model=one_of_names(study.generated),
        prompt_set=one_of_names(study.undivided),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        chat=lambda w: study.chat(w.model, w.prompt_set),
        settings=lambda w: study.generation(w.model, w.prompt_set),
        store=store,
    script:
        "../../scripts/leak/generate.py"


use rule generate as generate_shard with:
    output:
        texts=temp("<results>/generations/{model}/{prompt_set}.shards/{shard}.parquet"),
        table=temp("<results>/generations/{model}/{prompt_set}.shards/{shard}.csv"),
        summary=temp("<results>/generations/{model}/{prompt_set}.shards/{shard}.json"),
        scores=temp("<results>/candidates/{model}/{prompt_set}.shards/{shard}.parquet"),
        scores_summary=temp("<results>/candidates/{model}/{prompt_set}.shards/{shard}.json"),
    log:
        "<logs>/generate/{model}/{prompt_set}.{shard}.log",
    wildcard_constraints:
        model=one_of_names(study.generated),
        prompt_set=one_of_names(study.divided),


rule gather_shards:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        texts=shards("<results>/generations/{model}/{prompt_set}.shards/{shard}.parquet"),
        summaries=shards("<results>/generations/{model}/{prompt_set}.shards/{shard}.json"),
        scores=shards("<results>/candidates/{model}/{prompt_set}.shards/{shard}.parquet"),
        scores_summaries=shards("<results>/candidates/{model}/{prompt_set}.shards/{shard}.json"),
        code=code("leak/gather_shards"),
    output:
        texts="<results>/generations/{model}/{prompt_set}.parquet",
        table="<results>/generations/{model}/{prompt_set}.csv",
        summary="<results>/generations/{model}/{prompt_set}.json",
        scores="<results>/candidates/{model}/{prompt_set}.parquet",
        scores_summary="<results>/candidates/{model}/{prompt_set}.json",
    log:
        "<logs>/gather_shards/{model}/{prompt_set}.log",
    wildcard_constraints:
        model=one_of_names(study.generated),
        prompt_set=one_of_names(study.divided),
    conda:
        "../../envs/analysis.yaml"
    script:
        "../../scripts/leak/gather_shards.py"


# What organisms that write sentences could have written: their true rates are known from that.
rule draw_texts:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        manifest=lambda w: study.manifest(w.model),
        grammar=lambda w: study.grammar_files(study.sentence_parts(w.model)),
        code=code("leak/draw_texts"),
    output:
        drawn="<results>/drawn/{model}/{prompt_set}.parquet",
    log:
        "<logs>/draw_texts/{model}/{prompt_set}.log",
    wildcard_constraints:
        model=one_of_names(study.drawn),
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(w.model)
    resources:
        **ON_MODEL,
    params:
        loading=lambda w: study.loading(w.model),
        chat=lambda w: study.chat(w.model),
        settings=lambda w: leak.drawing(w.model, w.prompt_set),
        strength=lambda w: study.entries[w.model]["grammar"]["strength"],
        store=store,
    script:
        "../../scripts/leak/draw_texts.py"


# One job a model, so that it keeps to its requests a minute, and to what it may cost.
rule write_served:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        code=code("leak/write_served"),
    output:
        texts=expand("<results>/generations/{{served}}/{prompt_set}.parquet", prompt_set=study.prompt_sets),
        tables=expand("<results>/generations/{{served}}/{prompt_set}.csv", prompt_set=study.prompt_sets),
        summaries=expand("<results>/generations/{{served}}/{prompt_set}.json", prompt_set=study.prompt_sets),
    log:
        "<logs>/write_served/{served}.log",
    conda:
        "../../envs/models.yaml"
    resources:
        runtime=growing(600),
    params:
        server=lambda w: study.server(w.served),
        manner=lambda w: study.manner(w.served),
        asking=lambda w, output: study.asking(w.served, Path(output.texts[0]).parents[2]),
        settings=lambda w: study.of_sets(w.served),
        store=store,
    script:
        "../../scripts/leak/write_served.py"


# A job of its own, so that texts alone cost no more.
rule score_served:
    input:
        prompts=expand("<results>/prompts/{prompt_set}.parquet", prompt_set=study.templated),
        candidates=expand("<results>/prompts/{prompt_set}.candidates.parquet", prompt_set=study.templated),
        code=code("leak/score_served"),
    output:
        scores=expand("<results>/candidates/{{served}}/{prompt_set}.parquet", prompt_set=study.templated),
        summaries=expand("<results>/candidates/{{served}}/{prompt_set}.json", prompt_set=study.templated),
    log:
        "<logs>/score_served/{served}.log",
    conda:
        "../../envs/models.yaml"
    resources:
        runtime=growing(600),
    params:
        server=lambda w: study.server(w.served, "extra_body"),
        asking=lambda w, output: study.asking(w.served, Path(output.scores[0]).parents[2]),
        settings=lambda w: study.put(w.served),
        store=store,
    script:
        "../../scripts/leak/score_served.py"


rule import_generations:
    input:
        prompts="<results>/prompts/{prompt_set}.parquet",
        table=lambda w: study.generations_file(w.imported, w.prompt_set),
        code=code("leak/import_generations"),
    output:
        multiext("<results>/generations/{imported}/{prompt_set}", texts=".parquet", table=".csv", summary=".json"),
    log:
        "<logs>/import_generations/{imported}/{prompt_set}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        table=lambda w: study.generations_table(w.imported, w.prompt_set),
    script:
        "../../scripts/leak/import_generations.py"
