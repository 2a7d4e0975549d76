"""What each role may do in Airflow: the least that its work needs.

Everybody of the six roles sees the runs, their logs and what they produced, and may answer a gate; *which* gate is
the gate guard's decision, by role. Nobody of them may mark a task or a run as successful, clear one, edit an XCom,
create an asset event, or read connections and variables.
"""

from airlock.launcher.credentials import DEMO_USERS

Permission = tuple[str, str]

SEEN = (
    "DAGs",
    "DAG Runs",
    "DAG Versions",
    "DAG Code",
    "DAG Dependencies",  # the graph of a DAG asks for it
    "DAG Warnings",
    "Task Instances",
    "Task Logs",
    "XComs",
    "Assets",
    "Asset Aliases",  # the list of assets asks for both
    "HITL Detail",
    "ImportError",
    "My Profile",
    "Plugins",
    "Website",
)
IN_THE_MENU = ("DAGs", "HITL Detail", "Assets")

OBSERVER: frozenset[Permission] = frozenset(
    {("can_read", resource) for resource in SEEN} | {("menu_access", resource) for resource in IN_THE_MENU}
)
# An answer needs both; editing a DAG means no more than pausing and unpausing it.
APPROVER = OBSERVER | {("can_edit", "HITL Detail"), ("can_edit", "DAGs")}
OPERATOR = APPROVER | {("can_create", "DAG Runs")}

STARTS_RUNS = frozenset({"data_engineer", "data_scientist", "software_engineer", "devops_engineer"})
ROLES = tuple(role for role in DEMO_USERS.values() if role != "Admin")

RIGHTS: dict[str, frozenset[Permission]] = {role: OPERATOR if role in STARTS_RUNS else APPROVER for role in ROLES}
