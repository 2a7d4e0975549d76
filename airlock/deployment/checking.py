"""Everything a package must be, for contributors and in the DAG alike: first its files, then a real server on them."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from airlock.deployment.child import PACKAGE, RELEASE
from airlock.deployment.config import UNDECLARED, Licences
from airlock.deployment.package import Package, read_package
from airlock.deployment.report import Check, Report
from airlock.deployment.served import ServedModel
from airlock.deployment.trial import Trial
from airlock.digests import canonical, digest_bytes
from airlock.errors import AirlockError, UserError
from airlock.governance.manifest import ReleaseManifest
from airlock.references import Artifact

MEASURED = ("start_seconds", "resident_bytes", "slowest_seconds")


def check_package(package: Package, manifest: str, folder: Path) -> Report:
    """Try everything; nothing is raised for a package that is wrong.

    :param folder: holds :data:`PACKAGE` and the release manifest :data:`RELEASE` with the digest ``manifest``; the
        server's log is left there.
    """
    checks = _files(package)
    tolerance = 0.0
    if all(check.passed for check in checks):
        tolerance = package.config.tolerance
        trial = Trial(package, manifest, folder)
        checks += trial.run()
        measured = {name: getattr(trial, name) for name in MEASURED}
    else:
        measured = {}
    return Report(manifest=manifest, package=package.digest, tolerance=tolerance, checks=checks, **measured)


def check_folder(path: Path) -> Report:
    """Try everything of a package that nobody released yet: its release manifest is made up for the time.

    :raises SourceError: there is no such folder.
    """
    package = read_package(path)
    with tempfile.TemporaryDirectory(prefix="airlock-check-") as name:
        folder = Path(name)
        package.write(folder / PACKAGE)
        release = canonical(msgspec.to_builtins(_made_up(package)))
        (folder / RELEASE).write_bytes(release)
        return check_package(package, digest_bytes(release), folder)


def _made_up(package: Package) -> ReleaseManifest:
    nothing = Artifact(digest=digest_bytes(b""), size=0)
    size = sum(map(len, package.files.values()))
    tree = Artifact(digest=package.digest, size=size)
    return ReleaseManifest(
        use_case="check", classes=[], candidate="", package=tree, model=nothing, comparison=nothing, metrics={}
    )


def _files(package: Package) -> list[Check]:
    """Check what needs no server; the first failure ends it, because the rest stands on it."""
    tries: dict[str, Callable[[Package], str]] = {
        "schema": _schema,
        "licence": _licence,
        "samples": _samples,
        "model": _model,
        "parity": _parity,
    }
    checks: list[Check] = []
    for group, attempt in tries.items():
        checks.append(_try(group, attempt, package))
        if not checks[-1].passed and group != "licence":
            break
    return checks


def _try(group: str, attempt: Callable[[Package], str], package: Package) -> Check:
    try:
        return Check(group=group, name=group, passed=True, detail=attempt(package))
    except AirlockError as error:
        return Check(group=group, name=group, passed=False, detail=error.message, hint=error.hint)


def _schema(package: Package) -> str:
    config = package.config
    kinds = [type(each).__struct_config__.tag for each in (*config.inputs, *config.outputs)]
    return f"{config.name}: {', '.join(map(str, kinds))}"


def _licence(package: Package) -> str:
    if not package.licence.strip():
        raise UserError("The licence's text is empty.", hint="Write the terms of model and samples into LICENSE.")
    licences = package.config.licences
    return ", ".join(f"{field} {_spdx(field, getattr(licences, field))}" for field in Licences.__struct_fields__)


def _spdx(field: str, expression: str) -> str:
    try:
        return canonicalize_license_expression(expression)
    except InvalidLicenseExpression as error:
        said = "not declared" if expression == UNDECLARED else f"{expression!r}, no SPDX expression: {error}"
        raise UserError(
            f"The licence of {'the model' if field == 'code' else 'the sample data'} is {said}.",
            hint="Name it in licences, such as Apache-2.0, CC-BY-4.0 or LicenseRef-of-your-own.",
        ) from error


def _samples(package: Package) -> str:
    if not package.samples:
        raise UserError("There is no sample.", hint="Package at least one: people and checks try the model with them.")
    inputs = {each.name for each in package.config.inputs}
    outputs = {each.name for each in package.config.outputs}
    for sample in package.samples:
        if not inputs == sample.files.keys() == sample.types.keys() or outputs != sample.outputs.keys():
            raise UserError(
                f"Sample {sample.file} has {json.dumps([*sample.files, *sample.outputs])}, "
                f"airlock.json names {json.dumps(sorted(inputs | outputs))}.",
                hint="Build the package again.",
            )
        package.sent(sample)
    return f"{len(package.samples)} samples"


def _model(package: Package) -> str:
    served = ServedModel(package)
    return f"{served.config.engine}, {len(package.file(served.config.model)):,} bytes"


def _parity(package: Package) -> str:
    """Preprocessing, model and postprocessing twice over: they answer as stated, and the same again."""
    served = ServedModel(package)
    served.require_samples()
    served.require_samples()
    worst = max(served.differences(), key=lambda found: found.difference)
    return f"at most {worst.difference:.3g} from what is stated ({worst.output} of {worst.file})"
