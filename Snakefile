include: "workflow/rules/common.smk"


rule all:
    input:
        rules_of_all(),


include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/captions.smk"
include: "workflow/rules/tables.smk"
