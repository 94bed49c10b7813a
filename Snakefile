# Diffusion Actor-Critic, reproduced: params.yaml -> datasets -> runs -> evaluations -> report.
#
#   snakemake --cores all            the study `paper` of params.yaml
#   snakemake quick --cores all      any study, by its name
#   snakemake quick -n               what would run
#
# While the DAG is built, dac.study.pending looks at the store and asks for what is missing there, and for nothing else.
# Each rule is one `dac` command; its only declared output is an empty marker under work/todo/.
include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/timing.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        ROOT_FILE,
        pending_report("paper"),


for study in PARAMS.studies:

    rule:
        name:
            study
        input:
            ROOT_FILE,
            pending_report(study),

    rule:
        name:
            f"{study}_runs"
        input:
            ROOT_FILE,
            pending_runs(study),

    rule:
        name:
            f"{study}_datasets"
        input:
            ROOT_FILE,
            pending_datasets(study),
