# features/*.csv → results/<study>/features/figures/: one function of leakscope.figures.features a figure, PDF and PNG.

# figure: (where it stands in the report, the tables it shows, what it calls these if not by their file)
FEATURE_TABLES = of_dictionaries("features.parquet", DICTIONARIES)
FEATURE_FIGURES = {
    "quality": ("Dictionaries", [f"{F}/quality.csv"], None),
    "firing_density": ("Features", FEATURE_TABLES, list(DICTIONARIES)),
    "polysemanticity": ("Features", FEATURE_TABLES, list(DICTIONARIES)),
}
if SEEDED:
    FEATURE_FIGURES["seed_agreement"] = ("Dictionaries", [f"{F}/seed_agreement.parquet"], None)
if EDITABLE:
    FEATURE_FIGURES["effects"] = ("Edits", [f"{F}/effects.csv"], None)
    FEATURE_FIGURES["effects_by_item"] = ("Edits", [f"{F}/effects_by_item.csv"], None)
if ASSOCIATED:
    FEATURE_FIGURES["truth"] = ("Truth", [f"{F}/truth.csv"], None)
if COMPARES_EDITED:
    FEATURE_FIGURES["edited"] = ("Edits", [f"{F}/edited.csv"], None)
# Figures of models; the others are of dictionaries.
OF_MODELS = ["truth", "edited"]


for figure, (section, tables, names) in FEATURE_FIGURES.items():

    rule:
        name:
            f"plot_features_{figure}"
        input:
            tables=tables,
            code=code("plot_features"),
        output:
            pdf=f"{F}/figures/{figure}.pdf",
            png=report(
                f"{F}/figures/{figure}.png",
                caption=f"../report/features/{figure}.rst",
                category=section,
                labels={
                    "what": figure.replace("_", " ").capitalize(),
                    "form": "figure",
                },
            ),
        log:
            f"{LOGS}/plot_features_{figure}.log",
        benchmark:
            f"{BENCHMARKS}/plot_features_{figure}.tsv"
        conda:
            "../envs/plotting.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            figure=figure,
            names=names,
            labels=model_labels() if figure in OF_MODELS else dictionary_labels(),
            families={name: DICTIONARIES[name]["family"] for name in SEEDED},
            randomised=RANDOMISED,
            bar=FEATURES["bar"] if figure == "quality" else {},
        message:
            f"Draw {figure}"
        script:
            "../scripts/plot_features.py"
