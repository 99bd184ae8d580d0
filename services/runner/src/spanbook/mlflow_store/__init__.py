"""``spanbook import-mlflow``: the runs of an MLflow store as run files.

Reads MLflow 2's and 3's file stores (``mlruns/``) and SQLite stores without MLflow. A run of MLflow,
with the runs nested in it, becomes one run file; each of them is a task named by its experiment.
"""
