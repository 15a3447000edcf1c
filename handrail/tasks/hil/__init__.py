"""Human-in-the-loop tasks on one Panda: one file a task, `experts.py` beside them."""
