"""The parts of a check in their order: the last ones are dropped first where the time does not suffice for all."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dac.bench.gpu_check import computed, trained
from dac.bench.gpu_check.setup import Failed, Setup, Skipped
from dac.system.errors import UserError


@dataclass(frozen=True)
class Part:
    """One.

    Attributes:
        title: what it shows, for people.
        run: does it, in a process of its own; returns its result, of JSON's types.
        least: seconds that it takes on a GPU at least: with fewer left it is dropped.
        advice: what to set where it fails; empty of an experiment that no setting uses.
    """

    name: str
    title: str
    run: Callable[[Setup], Any]
    least: float
    advice: str

    @property
    def counts(self) -> bool:
        """Whether the check has failed where this part has: a machine is right on which only an experiment is wrong."""
        return bool(self.advice)


PARTS = (
    Part("device", "the GPU, its driver and PyTorch", computed.device, 10, "compute.device: cpu, until that is mended"),
    Part("tests", "the tests marked `gpu`", computed.tests, 30, "compute.cuda_graphs: false, and run this again"),
    Part(
        "parity",
        "the authors' recorded numbers, in every precision",
        computed.recorded,
        20,
        "training.precision: fp32, if float64 and fp32 are right",
    ),
    Part(
        "packs",
        "a gradient step of packs of 1 to 32, as a graph and without",
        computed.packs,
        60,
        "compute.cuda_graphs: false, and run this again",
    ),
    Part(
        "training",
        "a pack at the paper's settings on data, its evaluations beside",
        trained.training,
        90,
        "compute.cuda_graphs: false or compute.evaluation_workers: 0, and run this again",
    ),
    Part(
        "targets",
        "targets of trained critics against float64",
        trained.targets,
        15,
        "training.precision: fp32",
    ),
    Part(
        "kernels",
        "the target half as Triton kernels, exactness and speed",
        trained.kernels,
        60,
        advice="",
    ),
    Part(
        "out-of-memory",
        "a pack that does not fit is trained in parts",
        trained.out_of_memory,
        25,
        "compute.pack_size, to what `packs` shows to fit",
    ),
    Part("two-packs", "two packs at once on one GPU", computed.two_packs, 25, "compute.packs_per_gpu: 1"),
    Part(
        "second-gpu",
        "a second training takes another GPU",
        trained.second_gpu,
        25,
        "compute.device: cuda:0, and one job at a time",
    ),
)
BY_NAME = {part.name: part for part in PARTS}


def outcome(part: Part, setup: Setup) -> dict[str, Any]:
    """Run a part here; whatever happens, what there is to say of it.

    Returns:
        `state` (passed, failed or skipped), `said` (why it is not passed) and `result`.
    """
    try:
        return {"state": "passed", "said": "", "result": part.run(setup)}
    except Skipped as reason:
        return {"state": "skipped", "said": str(reason), "result": None}
    except Failed as failure:
        return {"state": "failed", "said": str(failure), "result": failure.result}
    except UserError as error:
        return {"state": "failed", "said": str(error), "result": None}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are to go on
        traceback.print_exc()
        return {"state": "failed", "said": f"{type(error).__name__}: {error}", "result": None}
