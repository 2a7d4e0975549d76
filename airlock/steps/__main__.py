"""``python -m airlock.steps NAME --spec DOCUMENT``: the entry point of a subprocess or pod.

Exit status: 0 with a result that succeeded, 1 with one that failed, 2 when no result could be written, 143 when it was
asked to stop.
"""

import argparse
import sys

from airlock.errors import AirlockError, UserError
from airlock.settings import settings
from airlock.steps import lifeline
from airlock.steps.contract import decode_spec
from airlock.steps.runner import run_spec
from airlock.steps.workers import this_worker
from airlock.stores.artifacts import open_artifacts


def main(arguments: list[str] | None = None) -> int:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="python -m airlock.steps")
    parser.add_argument("step", help="name of the step")
    parser.add_argument("--spec", required=True, help="name of the spec document in the artifact store")
    options = parser.parse_args(arguments)
    try:
        artifacts = open_artifacts(settings().artifacts)
        data = artifacts.document(options.spec)
        if data is None:
            raise UserError(f"There is no spec {options.spec}.", hint="Check AIRLOCK_ARTIFACTS of operator and pod.")
        spec = decode_spec(data)
        if spec.step != options.step:
            raise UserError(f"The spec {options.spec} is for step {spec.step!r}, not {options.step!r}.")
        result = run_spec(spec, settings(), this_worker(artifacts, spec.run))
    except (AirlockError, OSError) as error:  # a full disk, a store that is away
        sys.stderr.write(f"airlock: {error}\n")
        return 2
    return 0 if result.status == "succeeded" else 1


if __name__ == "__main__":
    lifeline.hold()
    lifeline.end_when_asked()
    sys.exit(main())
