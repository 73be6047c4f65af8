rule captions:
    input:
        made_from("captions"),
        tracking=tracked("captions"),
    output:
        made("captions", run="{run}", stage="{stage}"),
    log:
        f"{ROOT}/logs/captions/{{run}}.{{stage}}.log",
    priority: of_chain(CHAIN.urgency, "captions", {})
    conda:
        ENVIRONMENT
    threads: TRAINING.threads
    resources:
        gpu=GPU,
    params:
        made_with("captions"),
    message:
        "caption with {wildcards.run} {wildcards.stage}"
    shell:
        f"RDT_RULE=captions python -m rdt captions {NAMED}"
        " --run {wildcards.run} --stage {wildcards.stage} > {log} 2>&1"
