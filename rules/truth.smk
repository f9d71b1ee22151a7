# grammar, candidate scores → truth.csv: the exact Leak-Rate of what an organism was taught, and of what it learnt.


rule expect_leak_rates:
    input:
        prompts=[prompts(name) for name in TEMPLATED],
        scores=[f"{RESULTS}/candidates/{m}/{p}.parquet" for m in LEAKING for p in TEMPLATED],
        similarity=[f"{RESULTS}/similarity/{s}.parquet" for s in SCORERS],
        pairs=[f"{RESULTS}/leakage/{p}/{s}.parquet" for p in TEMPLATED for s in SCORERS],
        grammar=sorted({f for m in LEAKING for f in grammar_files(leaking_parts(m))}),
        code=code("expect_leak_rates"),
    output:
        truth=shown(
            f"{RESULTS}/truth.csv",
            "Truth",
            "Exact Leak-Rates",
            caption="truth_table",
        ),
        by_split=f"{RESULTS}/truth_by_split.csv",
    log:
        f"{LOGS}/expect_leak_rates.log",
    benchmark:
        f"{BENCHMARKS}/expect_leak_rates.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        grammars={m: {**CONFIG["models"][m]["grammar"], "parts": leaking_parts(m)} for m in LEAKING},
        temperatures={m: CONFIG["models"][m]["generation"]["temperature"] for m in LEAKING},
        max_new_tokens={m: CONFIG["models"][m]["generation"]["max_new_tokens"] for m in LEAKING},
        scorers=SCORERS,
        decimals=CONFIG["leak"]["decimals"],
    message:
        "Compute the exact Leak-Rates of grammar and organisms"
    script:
        "../scripts/expect_leak_rates.py"


rule describe_organisms:
    input:
        training=[f"results/models/{weights(m)}/training.json" for m in ORGANISMS],
        code=code("describe_organisms"),
    output:
        table=shown(
            f"{RESULTS}/organisms.csv",
            "Truth",
            "Organisms: loss against entropy",
            caption="organisms_table",
        ),
    log:
        f"{LOGS}/describe_organisms.log",
    benchmark:
        f"{BENCHMARKS}/describe_organisms.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        organisms={
            m: {
                "size": CONFIG["models"][m]["size"],
                "strength": CONFIG["models"][m]["grammar"]["strength"],
            }
            for m in ORGANISMS
        },
    message:
        "Put each organism's held-out loss beside the entropy of its corpus"
    script:
        "../scripts/describe_organisms.py"
