"""A retraining by the clock whose training is left out: a variable names the candidate that it would have made.

The margin is wide: whether a network is a sample or two better than another is chance, and not what is tried here.
"""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airlock.operators.retraining import challenge, retraining

with DAG(
    "digits_again",
    schedule=retraining("* * * * *"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    render_template_as_native_obj=True,
):
    challenge(use_case="digits", manifest="{{ var.json.candidate }}", margin=0.1) >> EmptyOperator(
        task_id="people_are_asked"
    )
