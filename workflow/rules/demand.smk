"""What jobs ask for: cores, a share of a GPU, memory and time, on this machine or a cluster's node."""


def here():
    """Whether jobs compute on this machine, so that its cores and GPUs are those to share out. Not before the DAG."""
    return workflow.local_exec and not workflow.remote_exec


def cores():
    """Cores that Snakemake may use here."""
    return workflow.resource_settings.cores or speeds.cores()


@cache
def share_out_gpus():
    """Let so many jobs start at once as this machine's GPUs have shares, unless --resources says otherwise."""
    gpu_jobs = demand.gpu_jobs(PARAMS)
    if here() and gpu_jobs and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", gpu_jobs)


@cache
def speed():
    """The speed that jobs are estimated with: of this machine, or of a cluster's nodes."""
    if here():
        return or_explain(speeds.calibration, PARAMS.compute)
    return demand.speed_elsewhere(PARAMS, known_speeds())


@cache
def known_speeds():
    """A GPU's speed and a CPU's, by which jobs are shared out."""
    return or_explain(demand.Speeds.known, PARAMS.compute)


# What a job asks for is estimated once, for its memory, its run time, cores and GPU: once for each text of wildcards.
@cache
def training_job(task, group, seeds):
    return jobs.Train(
        group_named(task, group), tuple(or_explain(seed_names.parse, seeds))
    )


@cache
def evaluation_job(task, group, seeds, evaluations):
    pack, seeds = group_named(task, group), or_explain(seed_names.parse, seeds)
    names = evaluations.split("-")
    wanted = or_explain(plan.find_evaluations, PARAMS, pack, names)
    return jobs.Evaluate(pack, tuple(seeds), tuple(wanted), ())


@cache
def timing_job(task, name):
    return jobs.Time(or_explain(timings.find, PARAMS, task, name))


def timed_group(wildcards):
    """The group whose gradient steps a job times."""
    return timing_job(wildcards.task, wildcards.timing).timing.group


@cache
def share_of(job_of, *names):
    """Cores and GPUs of a job that computes: of this machine's; a cluster has a GPU for each, if any."""
    job = job_of(*names)
    if here():
        return demand.here(job, PARAMS, cores(), known_speeds())
    return demand.elsewhere(job, PARAMS, known_speeds())


@cache
def demand_of(job_of, *names):
    job, taken = job_of(*names), share_of(job_of, *names)[0]
    if isinstance(job, jobs.Train):
        return demand.training(job.group, job.runs, PARAMS, speed(), taken)
    if isinstance(job, jobs.Time):
        return demand.timing(job.timing, PARAMS, speed())
    return demand.evaluation(
        job.group, job.runs, job.evaluations, PARAMS, speed(), taken
    )


@cache
def collection_demand(env):
    return demand.collection(env, PARAMS, speed())


def of_training(function):
    """Function of a rule's wildcards: `share_of` or `demand_of` a training."""
    return lambda wildcards: function(
        training_job, wildcards.task, wildcards.group, wildcards.seeds
    )


def of_timing(function):
    """The same of a timing."""
    return lambda wildcards: function(timing_job, wildcards.task, wildcards.timing)


def of_evaluation(function):
    """The same of an evaluation."""
    return lambda wildcards: function(
        evaluation_job,
        wildcards.task,
        wildcards.group,
        wildcards.seeds,
        wildcards.evaluations,
    )


def demand_of_collection(wildcards):
    return collection_demand(wildcards.env)


def cores_of(share):
    """Threads function: the cores of a job's share."""
    return lambda wildcards: share(wildcards)[0]


def gpus_of(share):
    """Resource function: the GPUs of a job's share, 0 or 1."""
    return lambda wildcards: share(wildcards)[1]


def device_of_job(wildcards, resources):
    """Params function: what a job computes on. One that was given a GPU fails without it, whoever finds none there."""
    return "gpu" if resources.gpu else "cpu"


def memory(needs):
    """Resource function: what a job needs, and twice that once an attempt failed, which may have been for want of it."""
    return lambda wildcards, attempt: min(attempt, 2) * needs(wildcards).mem_mb


def minutes(needs):
    """Resource function: the time limit of a job; --retries goes on where one that reached it was."""
    return lambda wildcards: needs(wildcards).runtime
