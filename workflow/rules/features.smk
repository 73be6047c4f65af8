rule encoder:
    input:
        made_from("encoder"),
    output:
        made("encoder"),
    log:
        f"{ROOT}/logs/encoder.log",
    priority: of_chain(CHAIN.urgency, "encoder", {})
    conda:
        ENVIRONMENT
    threads: ENCODER_THREADS
    params:
        made_with("encoder"),
    message:
        "train the encoder"
    shell:
        f"RDT_RULE=encoder python -m rdt encoder {NAMED} > {{log}} 2>&1"


rule features:
    input:
        made_from("features"),
    output:
        made("features", role="{role}"),
    log:
        f"{ROOT}/logs/features_{{role}}.log",
    priority: of_chain(CHAIN.urgency, "features", {})
    conda:
        ENVIRONMENT
    threads: ENCODER_THREADS
    params:
        made_with("features"),
    message:
        "features of {wildcards.role}"
    shell:
        f"RDT_RULE=features python -m rdt features {NAMED} --role {{wildcards.role}} > {{log}} 2>&1"


rule probe:
    input:
        made_from("probe"),
    output:
        made("probe"),
    log:
        f"{ROOT}/logs/probe.log",
    priority: of_chain(CHAIN.urgency, "probe", {})
    conda:
        ENVIRONMENT
    params:
        made_with("probe"),
    message:
        "probe the features"
    shell:
        f"RDT_RULE=probe python -m rdt probe {NAMED} > {{log}} 2>&1"


rule index:
    input:
        made_from("index"),
    output:
        made("index", role="{role}"),
    log:
        f"{ROOT}/logs/index_{{role}}.log",
    priority: of_chain(CHAIN.urgency, "index", {})
    conda:
        ENVIRONMENT
    params:
        made_with("index"),
    message:
        "retrieve sentences for {wildcards.role}"
    shell:
        f"RDT_RULE=index python -m rdt index {NAMED} --role {{wildcards.role}} > {{log}} 2>&1"
