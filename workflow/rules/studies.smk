STUDY_FILES = {name: shlex.quote(study.path) for name, study in STUDIES.items()}


wildcard_constraints:
    study="|".join(STUDIES),
    setting="best|paper",
    seed="[0-9]+",
    worker="[0-9]+",


rule studies:
    input:
        [made("study-compare", study=name) for name in STUDIES],
    message:
        "all studies are written"


# The journal of the trials is no output: Snakemake would delete it with a failed job.
rule study_init:
    input:
        made_from("study-init"),
        tracking=ancient(TRACKING),
    output:
        made("study-init", study="{study}"),
    log:
        f"{ROOT}/logs/studies/{{study}}.init.log",
    conda:
        ENVIRONMENT
    params:
        file=lambda wildcards: STUDY_FILES[wildcards.study],
        settings=settings_of("study-init"),
    message:
        "create the study {wildcards.study}"
    shell:
        f"RDT_RULE=study_init python -m rdt study-init {NAMED} --study {{params.file}} > {{log}} 2>&1"


# A worker that was killed is started again; its trial is taken up by whoever is there first.
rule study_worker:
    input:
        made_from("study-worker"),
    output:
        made("study-worker", study="{study}", worker="{worker}"),
    log:
        f"{ROOT}/logs/studies/{{study}}.worker{{worker}}.log",
    retries: 2
    conda:
        ENVIRONMENT
    threads: TRAINING.threads + TRAINING.workers
    resources:
        gpu=GPU,
    params:
        file=lambda wildcards: STUDY_FILES[wildcards.study],
    message:
        "run trials of the study {wildcards.study} (worker {wildcards.worker})"
    shell:
        f"RDT_RULE=study_worker python -m rdt study-worker {NAMED} --study {{params.file}}"
        " --worker {wildcards.worker} > {log} 2>&1"


rule study_export:
    input:
        made_from("study-export"),
        workers=lambda wildcards: [
            made("study-worker", study=wildcards.study, worker=worker)[0]
            for worker in range(STUDIES[wildcards.study].workers)
        ],
    output:
        made("study-export", study="{study}"),
    log:
        f"{ROOT}/logs/studies/{{study}}.export.log",
    conda:
        ENVIRONMENT
    params:
        file=lambda wildcards: STUDY_FILES[wildcards.study],
    message:
        "write the trials of the study {wildcards.study}"
    shell:
        f"RDT_RULE=study_export python -m rdt study-export {NAMED} --study {{params.file}} > {{log}} 2>&1"


rule study_retrain:
    input:
        made_from("study-retrain"),
    output:
        made("study-retrain", study="{study}", setting="{setting}", seed="{seed}"),
    log:
        f"{ROOT}/logs/studies/{{study}}.{{setting}}-s{{seed}}.log",
    conda:
        ENVIRONMENT
    threads: TRAINING.threads + TRAINING.workers
    resources:
        gpu=GPU,
    params:
        file=lambda wildcards: STUDY_FILES[wildcards.study],
    message:
        "train the {wildcards.setting} setting of {wildcards.study} with seed {wildcards.seed}"
    shell:
        f"RDT_RULE=study_retrain python -m rdt study-retrain {NAMED} --study {{params.file}}"
        " --setting {wildcards.setting} --seed {wildcards.seed} > {log} 2>&1"


rule study_compare:
    input:
        made_from("study-compare"),
    output:
        report(
            made("study-compare", study="{study}")[0],
            category="Studies",
            caption="../report/study.rst",
        ),
        made("study-compare", study="{study}")[1],
    log:
        f"{ROOT}/logs/studies/{{study}}.compare.log",
    conda:
        ENVIRONMENT
    threads: 2  # METEOR's process works beside ours
    params:
        made_with("study-compare"),
        file=lambda wildcards: STUDY_FILES[wildcards.study],
    message:
        "compare the best setting of {wildcards.study} with the paper's"
    shell:
        f"RDT_RULE=study_compare python -m rdt study-compare {NAMED} --study {{params.file}} > {{log}} 2>&1"
