"""The six roles of the deep-learning workflow. Which role opens which gate is the use case's configuration."""

from airlock.errors import UserError

ROLES = (
    "data_engineer",
    "data_labeler",
    "data_scientist",
    "model_validator",
    "software_engineer",
    "devops_engineer",
)


def check_role_name(role: str) -> str:
    """Return the role.

    :raises UserError: there is no such role.
    """
    if role not in ROLES:
        raise UserError(f"There is no role {role!r}.", hint=f"Roles: {', '.join(ROLES)}.")
    return role
