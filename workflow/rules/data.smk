rule track_init:
    output:
        protected_stamp=TRACKING,
    log:
        f"{ROOT}/logs/track_init.log",
    benchmark:
        f"{ROOT}/benchmarks/track_init.tsv"
    conda:
        ENVIRONMENT
    message:
        "set up the tracking database"
    shell:
        rdt("track init EXPERIMENT")


rule scenes:
    output:
        f"{ROOT}/data/{{role}}/dataset.json",
        f"{ROOT}/data/{{role}}/layout.npz",
    log:
        f"{ROOT}/logs/scenes_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/scenes_{{role}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.data.scenes.build"),
        settings=lambda wildcards: setting(
            data_configuration(EXPERIMENT, wildcards.role)
        ),
    message:
        "render the {wildcards.role} images"
    shell:
        rdt("scenes EXPERIMENT --role {wildcards.role}")


rule vocabulary:
    input:
        annotations=lambda wildcards: annotations(wildcards.role),
    output:
        f"{ROOT}/vocabulary/{{role}}.json",
    log:
        f"{ROOT}/logs/vocabulary_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/vocabulary_{{role}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.data.vocabulary"),
        settings=setting(EXPERIMENT.method.min_count),
    message:
        "vocabulary of {wildcards.role}"
    shell:
        rdt("vocabulary EXPERIMENT --role {wildcards.role}")
