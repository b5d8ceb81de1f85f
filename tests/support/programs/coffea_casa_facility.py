"""What a coffea-casa facility starts for its user, with coffea-casa's own class: a scheduler, and jobs of workers.

Arguments: what the workers' jobs run as Python, and the scheduler's port. Prints the scheduler's address; ends with
its standard input.
"""

import sys
from typing import Any

from coffea_casa import CoffeaCasaCluster

# This pool has no containers, which the facility's workers are; and one machine, whose other users are kept out.
DIRECTIVES = {"universe": "vanilla", "docker_image": "", "container_service_names": "", "use_x509userproxy": "False"}
WORKER = ["--host", "127.0.0.1", "--no-dashboard"]


def main() -> None:
    python, port = sys.argv[1:]
    cluster = CoffeaCasaCluster(
        ship_env=False, scheduler_port=int(port), cores=1, memory="2GiB", disk="1MiB", python=python,
        job_extra_directives=DIRECTIVES, worker_extra_args=WORKER,
        scheduler_options={"host": "127.0.0.1", "port": int(port), "dashboard_address": "127.0.0.1:0"},
    )  # fmt: skip
    cluster.scale(2)
    options: dict[str, Any] = {
        **cluster._job_kwargs,
        "worker_extra_args": [*WORKER, "--resources", "GPU=1"],
        "job_extra_directives": {**cluster._job_kwargs["job_extra_directives"], "request_gpus": "1"},
    }
    cluster.worker_spec["gpu-worker"] = {"cls": cluster.job_cls, "options": options}
    cluster.sync(cluster._correct_state)
    cluster.wait_for_workers(3, timeout=240)  # they are jobs: on a busy machine they come when a test is over already
    print(cluster.scheduler.address, flush=True)
    sys.stdin.read()
    cluster.close()


if __name__ == "__main__":
    main()
