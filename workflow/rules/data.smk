rule track_init:
    output:
        protected_stamp=TRACKING,
    log:
        f"{ROOT}/logs/track_init.log",
    conda:
        ENVIRONMENT
    message:
        "set up the tracking database"
    shell:
        f"RDT_RULE=track_init python -m rdt track init {NAMED} > {{log}} 2>&1"


rule scenes:
    output:
        made("scenes", role="{role}"),
    log:
        f"{ROOT}/logs/scenes_{{role}}.log",
    priority: of_chain(CHAIN.urgency, "scenes", {})
    conda:
        ENVIRONMENT
    params:
        made_with("scenes"),
    message:
        "render the {wildcards.role} images"
    shell:
        f"RDT_RULE=scenes python -m rdt scenes {NAMED} --role {{wildcards.role}} > {{log}} 2>&1"


rule vocabulary:
    input:
        made_from("vocabulary"),
    output:
        made("vocabulary", role="{role}"),
    log:
        f"{ROOT}/logs/vocabulary_{{role}}.log",
    priority: of_chain(CHAIN.urgency, "vocabulary", {})
    conda:
        ENVIRONMENT
    params:
        made_with("vocabulary"),
    message:
        "vocabulary of {wildcards.role}"
    shell:
        f"RDT_RULE=vocabulary python -m rdt vocabulary {NAMED} --role {{wildcards.role}} > {{log}} 2>&1"
