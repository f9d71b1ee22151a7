# selected features → results/<study>/features/: what edits of them do and cost, beside edits that know nothing of
# features; models that are edited; texts with and without an edit.


rule edit_effects:
    input:
        **features.contrast_at_site(),
        manifest="<dictionary>/dictionary.json",
        model_manifest=lambda w: study.manifest(features.model(**w)),
        selection="<dictionary>/selection/{contrast}.csv",
        # Edits are measured in the largest activation of a feature on held-out text.
        firing="<dictionary>/firing.parquet",
        neutral=lambda w: features.neutral_text(features.model(**w)),
        code=code("features/edit_effects"),
    output:
        effects="<dictionary>/effects/{contrast}.parquet",
        by_item="<dictionary>/effects/{contrast}.items.parquet",
        chosen="<dictionary>/edits/{contrast}.json",
    log:
        "<logs>/edit_effects/{dictionary}/{contrast}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        **on_model(features.needs_of_effects, lambda w: features.model(**w)),
    params:
        loading=lambda w: study.loading(features.model(**w)),
        settings=features.settings["effects"],
        level=features.settings["level"],
        is_own=lambda w: study.is_organism(features.model(**w)),
        batch_size=features.settings["batch_size"],
    script:
        "../../scripts/features/edit_effects.py"


rule effect_summary:
    input:
        effects=expand("<features>/dictionaries/{dictionary}/effects/{contrast}.parquet", zip, **features.editable),
        by_item=expand(
            "<features>/dictionaries/{dictionary}/effects/{contrast}.items.parquet", zip, **features.editable
        ),
        code=code("features/effect_summary"),
    output:
        effects=shown("<features>/effects.csv"),
        by_item="<features>/effects_by_item.csv",
    log:
        "<logs>/effect_summary.log",
    conda:
        "../../envs/models.yaml"
    params:
        level=features.settings["level"],
    script:
        "../../scripts/features/effect_summary.py"


rule planted_association:
    input:
        by_item=expand("<features>/dictionaries/{dictionary}/effects/{contrast}.items.parquet", zip, **features.planted),
        grammar=study.grammar_files(part for entry in features.planted_in.values() for part in entry["parts"]),
        code=code("features/planted_association"),
    output:
        truth=shown("<features>/truth.csv"),
    log:
        "<logs>/planted_association.log",
    conda:
        "../../envs/models.yaml"
    params:
        **features.planting(),
    script:
        "../../scripts/features/planted_association.py"


rule make_edit:
    input:
        manifest=lambda w: study.manifest(study.entries[w.edited_model]["base"]),
        dictionary=lambda w: f"<features>/dictionaries/{study.entries[w.edited_model]['dictionary']}/dictionary.json",
        chosen=lambda w: expand(
            "<features>/dictionaries/{dictionary}/edits/{contrast}.json",
            zip,
            **features.chosen_for(w.edited_model),
        ),
        firing=lambda w: expand(
            "<features>/dictionaries/{dictionary}/firing.parquet",
            dictionary=features.named_by(w.edited_model),
        ),
        code=code("features/make_edit", "models/editing"),
    output:
        manifest="<features>/edited/{edited_model}/model.json",
    log:
        "<logs>/make_edit/{edited_model}.log",
    priority: 10
    conda:
        "../../envs/models.yaml"
    params:
        entry=lambda w: features.edit(w.edited_model),
    script:
        "../../scripts/features/make_edit.py"


rule steer:
    input:
        manifest=lambda w: f"<features>/dictionaries/{features.steerings[w.steering]['dictionary']}/dictionary.json",
        model_manifest=lambda w: study.manifest(features.model(**w)),
        firing=lambda w: f"<features>/dictionaries/{features.steerings[w.steering]['dictionary']}/firing.parquet",
        code=code("features/steer"),
    output:
        texts=shown("<features>/steering/{steering}.csv"),
        summary="<features>/steering/{steering}.json",
    log:
        "<logs>/steer/{steering}.log",
    conda:
        "../../envs/models.yaml"
    threads: lambda w: study.threads(features.model(**w))
    resources:
        **ON_MODEL_OF_DICTIONARY,
    params:
        loading=lambda w: study.loading(features.model(**w)),
        settings=lambda w: features.steering(w.steering),
        chat_template_kwargs=lambda w: study.chat(features.model(**w))["chat_template_kwargs"],
        store=store,
    script:
        "../../scripts/features/steer.py"


rule compare_edited:
    input:
        rates=["<results>/match_rates.csv", "<results>/leak_rates.csv"] if "leak" in study.steps else [],
        effects=["<features>/effects.csv"] if features.editable["contrast"] else [],
        bias=["<features>/bias.csv"] if all(features.biased.values()) else [],
        code=code("features/compare_edited"),
    output:
        edited=shown("<features>/edited.csv"),
    log:
        "<logs>/compare_edited.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        edited=features.edited,
    script:
        "../../scripts/features/compare_edited.py"
