def pool_role(role):
    """Whose train captions are retrieved for the images of a role."""
    return "primary" if role == "novel" else role


def feature_inputs(wildcards):
    """The annotations and, unless published features are imported, the encoder."""
    if EXPERIMENT.data[wildcards.role].features:
        return annotations(wildcards.role)
    return [
        *annotations(wildcards.role),
        f"{ROOT}/encoder/model.safetensors",
        f"{ROOT}/vocabulary/primary.json",
    ]


rule encoder:
    input:
        annotations=annotations("primary"),
        vocabulary=f"{ROOT}/vocabulary/primary.json",
    output:
        f"{ROOT}/encoder/model.safetensors",
    params:
        code=code_digest("rdt.features.encoder"),
        settings=setting(asdict(EXPERIMENT.encoder)),
    threads: EXPERIMENT.encoder.threads
    log:
        f"{ROOT}/logs/encoder.log",
    benchmark:
        f"{ROOT}/benchmarks/encoder.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("encoder EXPERIMENT")


rule features:
    input:
        feature_inputs,
    output:
        expand(f"{ROOT}/features/{{{{role}}}}/{{name}}.npy", name=[Path(path).stem for path in store("primary")]),
    params:
        code=code_digest("rdt.features.extract"),
        settings=lambda wildcards: setting(data_settings(wildcards.role)),
    threads: EXPERIMENT.encoder.threads
    log:
        f"{ROOT}/logs/features_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/features_{{role}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("features EXPERIMENT --role {wildcards.role}")


rule probe:
    input:
        store("primary"),
        layout=f"{ROOT}/data/primary/layout.npz",
    output:
        f"{ROOT}/encoder/probe.json",
    params:
        code=code_digest("rdt.features.probe"),
    log:
        f"{ROOT}/logs/probe.log",
    benchmark:
        f"{ROOT}/benchmarks/probe.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("probe EXPERIMENT")


rule index:
    input:
        lambda wildcards: [*store(wildcards.role), *store(pool_role(wildcards.role))],
        pool=lambda wildcards: annotations(pool_role(wildcards.role)),
    output:
        f"{ROOT}/index/{{role}}/retrieved.npz",
        f"{ROOT}/index/{{role}}/pool.txt",
    params:
        code=code_digest("rdt.commands.index"),
        settings=setting(EXPERIMENT.method.retrieved, EXPERIMENT.method.exclude_own),
    log:
        f"{ROOT}/logs/index_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/index_{{role}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("index EXPERIMENT --role {wildcards.role}")
