# features/*.csv → results/<study>/features/figures/: one function of leakscope.figures.features.drawing a figure, PDF and PNG.

# figure: (its section of the report, its title there, the tables it shows, what it calls these if not by their file)
FEATURE_TABLES = of_dictionaries("features.parquet", DICTIONARIES)
FEATURE_FIGURES = {
    "quality": ("Dictionaries", "Quality", [f"{F}/quality.csv"], None),
    "firing_density": ("Features", "Density of firing", FEATURE_TABLES, list(DICTIONARIES)),
    "polysemanticity": ("Features", "Polysemanticity", FEATURE_TABLES, list(DICTIONARIES)),
}
if SEEDED:
    FEATURE_FIGURES["seed_agreement"] = (
        "Dictionaries",
        "Agreement of seeds",
        [f"{F}/seed_agreement.parquet"],
        None,
    )
if EDITABLE:
    FEATURE_FIGURES["effects"] = ("Edits", "Effects of edits", [f"{F}/effects.csv"], None)
    FEATURE_FIGURES["effects_by_item"] = (
        "Edits",
        "Effects of edits by item",
        [f"{F}/effects_by_item.csv"],
        None,
    )
if ASSOCIATED:
    FEATURE_FIGURES["truth"] = ("Truth", "Planted associations", [f"{F}/truth.csv"], None)
if COMPARES_EDITED:
    FEATURE_FIGURES["edited"] = ("Edits", "Edited models beside their bases", [f"{F}/edited.csv"], None)
# Figures of models; the others are of dictionaries.
OF_MODELS = ["truth", "edited"]


for figure, (section, title, tables, names) in FEATURE_FIGURES.items():

    rule:
        name:
            f"plot_features_{figure}"
        input:
            tables=tables,
            code=code("figures/plot_features"),
        output:
            pdf=f"{F}/figures/{figure}.pdf",
            png=shown(
                f"{F}/figures/{figure}.png",
                section,
                title,
                caption=f"features/{figure}",
            ),
        log:
            f"{LOGS}/plot_features_{figure}.log",
        benchmark:
            f"{BENCHMARKS}/plot_features_{figure}.tsv"
        conda:
            "../../envs/plotting.yaml"
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
            "../../scripts/figures/plot_features.py"
