# data/grammar/ → results/models/: corpora of planted associations, and small models trained on them.
# Organisms are shared by all studies; nothing here but the last table depends on a study's name.


rule train_tokenizer:
    input:
        grammar=lambda w: study.grammar_files(study.grammars[w.grammar]),
        code=code("organisms/train_tokenizer"),
    output:
        expand("<models>/tokenizers/{{grammar}}/{file}", file=TOKENIZER_FILES),
    log:
        "<models>/logs/train_tokenizer/{grammar}.log",
    # What a training waits for.
    priority: 20
    conda:
        "../../envs/models.yaml"
    params:
        parts=lambda w: study.grammars[w.grammar],
        vocab_size=study.config["organisms"]["vocab_size"],
    script:
        "../../scripts/organisms/train_tokenizer.py"


rule write_corpus:
    input:
        grammar=lambda w: study.grammar_files(study.corpora[w.corpus]["parts"]),
        code=code("organisms/write_corpus"),
    output:
        multiext("<models>/corpora/{corpus}", train=".jsonl", held_out=".held_out.jsonl"),
    log:
        "<models>/logs/write_corpus/{corpus}.log",
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    params:
        grammar=lambda w: study.corpora[w.corpus],
        documents=study.config["organisms"]["training"]["documents"],
    script:
        "../../scripts/organisms/write_corpus.py"


rule train_organism:
    input:
        train=lambda w: study.corpus_file(w.organism),
        held_out=lambda w: study.corpus_file(w.organism, "held_out"),
        tokenizer=lambda w: [f"<models>/tokenizers/{study.grammar(w.organism)}/{file}" for file in TOKENIZER_FILES],
        code=code("organisms/train_organism"),
    output:
        expand("<models>/{{organism}}/{file}", file=WEIGHT_FILES + TOKENIZER_FILES),
        manifest="<models>/{organism}/model.json",
        training="<models>/{organism}/training.json",
    log:
        "<models>/logs/train_organism/{organism}.log",
    # What others wait for.
    priority: 10
    conda:
        "../../envs/models.yaml"
    # One thread: weights trained with one and with two differ in the last bits, and then in everything.
    threads: 1
    params:
        training=study.training,
        size=lambda w: study.config["organisms"]["sizes"][study.species[w.organism]["size"]],
        seed=lambda w: study.species[w.organism]["seed"],
    script:
        "../../scripts/organisms/train_organism.py"


rule describe_organisms:
    input:
        training=[f"<models>/{study.entries[model]['weights']}/training.json" for model in study.organisms],
        code=code("organisms/describe_organisms"),
    output:
        table=shown("<results>/organisms.csv"),
    log:
        "<logs>/describe_organisms.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        organisms=study.described_organisms,
    script:
        "../../scripts/organisms/describe_organisms.py"
