"""The commands: the only modules that know argparse. Nothing imports them but :mod:`rdt.cli`."""

# group -> name -> (module, help); the module has add_arguments(parser) and run(args) -> exit status or None
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "for people": {
        "doctor": ("rdt.commands.doctor", "say what is installed, what is missing and what mends it"),
        "check": ("rdt.commands.check", "validate an experiment file and that its data are there"),
        "caption": ("rdt.commands.caption", "caption photographs of your own with a trained run"),
        "evaluate": ("rdt.commands.evaluate", "score any captioner's output, in the COCO formats"),
        "compare": ("rdt.commands.compare", "put several captioners' outputs into one table, with tests between them"),
        "verify": ("rdt.commands.verify", "follow a cell of a table down to the data, and compute its scores again"),
        "why": ("rdt.commands.why", "say which input, parameter or module makes a result stale"),
        "plan-seeds": ("rdt.commands.plan_seeds", "say how many seeds would decide which claims, and at what price"),
        "survey": ("rdt.commands.survey", "say what a role's captions mean for vocabulary, reward and ranking loss"),
        "config": ("rdt.commands.config", "print an experiment, resolved, as YAML"),
    },
    "data and results of your own, and of others": {
        "extract": ("rdt.commands.extract", "extract features of CLIP from photographs and captions"),
        "export": ("rdt.commands.export", "pack a finished experiment as a Workflow Run RO-Crate"),
        "import": ("rdt.commands.import_crate", "take results that another machine made, from such a crate"),
        "track": ("rdt.commands.track", "set up MLflow for an experiment, or send it the records that wait"),
    },
    "the stages, which snakemake runs": {
        "scenes": ("rdt.commands.scenes", "render the embedded data set of a role"),
        "encoder": ("rdt.commands.encoder", "train the two-tower encoder on the primary train split"),
        "features": ("rdt.commands.features", "encode or import the features of a role"),
        "probe": ("rdt.commands.probe", "report what the encoder's features tell"),
        "vocabulary": ("rdt.commands.vocabulary", "build the vocabulary of a role"),
        "index": ("rdt.commands.index", "retrieve sentences of the train pool for every image"),
        "train": ("rdt.commands.train", "train one stage of one run"),
        "captions": ("rdt.commands.captions", "caption the images of the tables with a trained run"),
        "inspect": ("rdt.commands.inspect", "measure what a trained network does inside"),
        "score": ("rdt.commands.score", "score captions against their references"),
        "tables": ("rdt.commands.tables", "put the scores into Tables II-VIII"),
        "claims": ("rdt.commands.claims", "reach a verdict on each claim of the paper"),
        "differences": (
            "rdt.commands.differences",
            "say what each difference between paper and released code is worth",
        ),
        "controls": ("rdt.commands.controls", "say what each proposal gains over what controls for it"),
        "report": ("rdt.commands.report", "show everything that a finished experiment found on one page"),
    },
    "studies, which snakemake runs": {
        "study-init": ("rdt.commands.study_init", "create a study of an experiment's parameters"),
        "study-worker": ("rdt.commands.study_worker", "run trials of a study until it has all of them"),
        "study-export": ("rdt.commands.study_export", "write the trials, the best setting and the plots of a study"),
        "study-retrain": (
            "rdt.commands.study_retrain",
            "train a study's best or the paper's setting with a fresh seed",
        ),
        "study-compare": ("rdt.commands.study_compare", "compare a study's best and the paper's setting on test"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
