wildcard_constraints:
    study="|".join(STUDIES),
    setting="best|paper",
    seed="[0-9]+",
    worker="[0-9]+",


rule studies:
    input:
        [f"{study_report(name)}/README.md" for name in STUDIES],
    message:
        "all studies are written"


# The journal of the trials is no output: Snakemake would delete it with a failed job.
rule study_init:
    input:
        annotations("primary"),
        store("primary"),
        f"{ROOT}/vocabulary/primary.json",
        f"{ROOT}/index/primary/retrieved.npz",
        tracking=ancient(TRACKING),
    output:
        f"{ROOT}/studies/{{study}}/study.json",
    log:
        f"{ROOT}/logs/studies/{{study}}.init.log",
    benchmark:
        f"{ROOT}/benchmarks/studies/{{study}}.init.tsv"
    conda:
        ENVIRONMENT
    params:
        file=study_file,
        settings=lambda wildcards: setting(*study_settings(wildcards.study)),
    message:
        "create the study {wildcards.study}"
    shell:
        rdt("study-init EXPERIMENT --study {params.file}")


# A worker that was killed is started again; its trial is taken up by whoever is there first.
rule study_worker:
    input:
        f"{ROOT}/studies/{{study}}/study.json",
    output:
        f"{ROOT}/studies/{{study}}/workers/{{worker}}.json",
    log:
        f"{ROOT}/logs/studies/{{study}}.worker{{worker}}.log",
    benchmark:
        f"{ROOT}/benchmarks/studies/{{study}}.worker{{worker}}.tsv"
    retries: 2
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.training.threads + EXPERIMENT.training.workers
    resources:
        gpu=gpus(),
    params:
        file=study_file,
    message:
        "run trials of the study {wildcards.study} (worker {wildcards.worker})"
    shell:
        rdt("study-worker EXPERIMENT --study {params.file} --worker {wildcards.worker}")


rule study_export:
    input:
        f"{ROOT}/studies/{{study}}/study.json",
        workers=study_workers,
    output:
        f"{study_report('{study}')}/trials.csv",
        f"{study_report('{study}')}/best.yaml",
    log:
        f"{ROOT}/logs/studies/{{study}}.export.log",
    benchmark:
        f"{ROOT}/benchmarks/studies/{{study}}.export.tsv"
    conda:
        ENVIRONMENT
    params:
        file=study_file,
    message:
        "write the trials of the study {wildcards.study}"
    shell:
        rdt("study-export EXPERIMENT --study {params.file}")


rule study_retrain:
    input:
        f"{study_report('{study}')}/best.yaml",
    output:
        f"{ROOT}/studies/{{study}}/compared/{{setting}}-s{{seed}}.json",
    log:
        f"{ROOT}/logs/studies/{{study}}.{{setting}}-s{{seed}}.log",
    benchmark:
        f"{ROOT}/benchmarks/studies/{{study}}.{{setting}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.training.threads + EXPERIMENT.training.workers
    resources:
        gpu=gpus(),
    params:
        file=study_file,
    message:
        "train the {wildcards.setting} setting of {wildcards.study} with seed {wildcards.seed}"
    shell:
        rdt(
            "study-retrain EXPERIMENT --study {params.file} --setting {wildcards.setting}"
            " --seed {wildcards.seed}"
        )


rule study_compare:
    input:
        f"{study_report('{study}')}/trials.csv",
        compared=compared_networks,
    output:
        report(
            f"{study_report('{study}')}/README.md",
            category="Studies",
            caption="../report/study.rst",
        ),
        f"{study_report('{study}')}/comparison.json",
    log:
        f"{ROOT}/logs/studies/{{study}}.compare.log",
    benchmark:
        f"{ROOT}/benchmarks/studies/{{study}}.compare.tsv"
    conda:
        ENVIRONMENT
    threads: 2  # METEOR's process works beside ours
    params:
        file=study_file,
        code=code_digest("rdt.commands.study_compare"),
    message:
        "compare the best setting of {wildcards.study} with the paper's"
    shell:
        rdt("study-compare EXPERIMENT --study {params.file}")
