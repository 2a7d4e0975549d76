"""One module per step: typed ``Inputs`` and ``Outputs`` and a ``run()``. No Airflow anywhere below this package."""
